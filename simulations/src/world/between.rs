//! Who stands between a host's node and the world, and who may listen in: adversaries, and the watch over
//! secrets.

use fieldmark_ledger::tasks;
use fieldmark_node_core::compute::{Job, JobResult};
use fieldmark_node_core::io::{Input, Output};
use fieldmark_protocol::machine::RPC_BYTES_MAX;
use fieldmark_protocol::trust::TrustPolicy;
use fieldmark_protocol::wire::rpc_request;
use fieldmark_protocol::{PublicKey, ReportId, decode, wire};

use super::World;
use crate::adversaries::{Adversary, Scene};
use crate::draws::Draws;
use crate::part::{HostId, Role};
use crate::secrecy;

impl World {
    /// Whom a host trusts. Where everyone knows each other a company trusts a single aggregator, one that
    /// follows the protocol.
    pub(super) fn trust_of(&self, at: HostId) -> TrustPolicy {
        let company = matches!(self.host(at).part.role, Role::Company(_));
        if !self.scenario.acquainted || !company {
            return self.trust.clone();
        }
        let honest: Vec<PublicKey> = self
            .hosts
            .iter()
            .filter(|host| matches!(host.part.role, Role::Aggregator(_)) && host.part.honest())
            .map(|host| host.part.identity())
            .collect();
        let drawn = Draws::of(self.seed, &format!("trust {at}")).index(honest.len());
        match honest.get(drawn) {
            Some(one) => TrustPolicy {
                aggregators: [*one].into(),
            },
            None => self.trust.clone(),
        }
    }

    /// Lets a host's adversary, if it has one, do something with what it has at hand.
    fn with_adversary<T>(
        &mut self,
        at: HostId,
        act: impl FnOnce(&mut dyn Adversary, &mut Scene<'_>) -> T,
    ) -> Option<T> {
        let adversary = self.adversaries.get_mut(&at)?;
        let host = self.hosts.get(at)?;
        let mut sent = Vec::new();
        let mut scene = Scene {
            now: host.clock(self.now),
            keys: &host.part.keys,
            disk: host.disk(),
            sent: &mut sent,
        };
        let done = act(adversary.as_mut(), &mut scene);
        self.ports.truth.sent.extend(sent);
        Some(done)
    }

    /// What a host gets to hear.
    pub(super) fn heard(&mut self, at: HostId, input: Input) -> Option<Input> {
        if !self.adversaries.contains_key(&at) {
            return Some(input);
        }
        let (heard, answers) = self.with_adversary(at, |adversary, scene| adversary.hears(scene, input))?;
        for answer in answers {
            self.output(at, answer);
        }
        heard
    }

    /// What the world gets to hear of a host.
    pub(super) fn said(&mut self, at: HostId, output: Output) -> Vec<Output> {
        if !self.adversaries.contains_key(&at) {
            return vec![output];
        }
        self.with_adversary(at, |adversary, scene| adversary.says(scene, output))
            .unwrap_or_default()
    }

    /// What comes of a host's work.
    pub(super) fn worked(&mut self, at: HostId, job: &Job, result: JobResult) -> JobResult {
        if self.adversaries.contains_key(&at) {
            let kept = result.clone();
            return self
                .with_adversary(at, |adversary, scene| adversary.works(scene, job, result))
                .unwrap_or(kept);
        }
        if let (Job::Evaluate { .. }, JobResult::Evaluated(Ok(values))) = (job, &result) {
            let whose = self.host(at).part.identity();
            self.secrets.keep(whose, values);
        }
        result
    }

    /// Looks at bytes that leave a host: nobody's measurement may be in them.
    pub(super) fn watch(&mut self, at: HostId, data: &[u8]) {
        if let Some(whose) = self.secrets.seen(data) {
            let (now, whose) = (self.now, whose.short());
            self.violations.push(format!(
                "{now} n{at}: the measurement of {whose} leaves in the clear"
            ));
        }
    }

    /// Looks at a request that leaves a host: whose reports are uploaded, and whether helpers get shares
    /// that are theirs.
    pub(super) fn watch_request(&mut self, at: HostId, peer: PublicKey, data: &[u8]) {
        self.watch(at, data);
        let request = decode::bounded::<wire::RpcRequest>("a request", data, RPC_BYTES_MAX);
        let Ok(Some(body)) = request.map(|request| request.body) else {
            return;
        };
        if let rpc_request::Body::Upload(report) = &body {
            let metadata = report.metadata.clone().unwrap_or_default();
            let ids = (
                ReportId::from_slice(&metadata.report_id),
                PublicKey::from_slice(&metadata.contributor),
            );
            if let (Ok(id), Ok(contributor)) = ids {
                self.uploads.insert(id, contributor);
            }
        }
        let Some(posed) = self.script.posed else { return };
        let host = self.host(at);
        if !host.part.honest() || !matches!(body, rpc_request::Body::VerifyInit(_)) {
            return;
        }
        if let Ok(Some(task)) = tasks::task(host.disk(), &posed.task)
            && let Some(wrong) = secrecy::misdirected(&task.task, &peer, &body)
        {
            self.violations.push(format!("{} n{at}: {wrong}", self.now));
        }
    }
}
