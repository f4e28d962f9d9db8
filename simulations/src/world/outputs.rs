//! What a machine asks for: messages, dials, work, timers, and answers to its user.

use fieldmark_node_core::compute::{Job, JobResult};
use fieldmark_node_core::io::{Command, Event, Input, JobId, Output};

use super::{Happening, World};
use crate::equivocator;
use crate::part::HostId;
use crate::scenario::When;

impl World {
    /// Does what a step of a host asked for, in order.
    pub(super) fn outputs(&mut self, at: HostId, outputs: Vec<Output>) {
        let face = self.host(at).part.role.is_face();
        for output in outputs {
            if face && !equivocator::says(&output) {
                continue;
            }
            for output in self.said(at, output) {
                self.output(at, output);
            }
        }
    }

    /// Does one thing that a host asked for.
    pub(super) fn output(&mut self, at: HostId, output: Output) {
        match output {
            Output::Send { peer, request, data } => {
                self.watch_request(at, peer, &data);
                self.send(at, peer, request, data);
            }
            Output::Respond { inbound, data } => {
                self.watch(at, &data);
                self.respond(at, inbound, data);
            }
            Output::Broadcast { topic, data } => {
                self.watch(at, &data);
                self.broadcast(at, topic, data);
            }
            Output::Verdict { message, verdict } => self.verdict(at, message, verdict),
            Output::Dial { multiaddr } => self.dial(at, &multiaddr),
            Output::Compute { job, work } => self.compute(at, job, work),
            Output::Timer { at_ms } => {
                let now = self.now;
                let host = self.host_mut(at);
                host.timer_at = host.virtual_time(at_ms).max(now + 1);
                self.plan_timer(at);
            }
            Output::Reply { id, result } => {
                self.log(at, format_args!("reply {id}: {result:?}"));
                let Some(host) = self.hosts.get(at) else { return };
                let before = self.script.posed.is_some();
                self.script.replied(host, self.now, id, result);
                if !before && self.script.posed.is_some() {
                    self.challenge_posed(at);
                }
            }
            Output::Event(event) => self.event(at, &event),
            // A batch never leaves the driver.
            _ => {}
        }
    }

    fn event(&mut self, at: HostId, event: &Event) {
        match event {
            Event::Record { id, kind } => {
                self.last_record_ms = self.now;
                self.log(at, format_args!("record {kind} {}", id.short()));
            }
            Event::Fork { log, seq } => {
                self.last_record_ms = self.now;
                self.log(at, format_args!("fork of {} at {seq}", log.short()));
            }
            event => {
                self.log(at, format_args!("event {event:?}"));
                if let Event::Batch { phase, .. } = event
                    && phase == "closing"
                {
                    self.arm_all(When::Closing, self.now);
                }
            }
        }
    }

    fn compute(&mut self, at: HostId, job: JobId, work: Box<Job>) {
        let when = self.now + self.ports.duration(&work);
        let life = self.host(at).life;
        self.queue.plan(
            when,
            Happening::Done {
                host: at,
                life,
                job,
                work,
            },
        );
    }

    /// Work is done: a fetch asks the provider's disk, everything else the ports.
    pub(super) fn work_done(&mut self, at: HostId, job: JobId, work: &Job) {
        let identity = self.host(at).part.identity();
        let result = match work {
            Job::Fetch { blob, provider, .. } => {
                let found = self.by_node_key.get(provider).copied().filter(|from| {
                    let host = self.host(*from);
                    host.is_up() && host.blobs.contains(blob) && self.network.reachable(at, *from)
                });
                if found.is_some() {
                    self.host_mut(at).blobs.insert(*blob);
                }
                Some(JobResult::Fetched(
                    found
                        .map(|_| ())
                        .ok_or_else(|| "the provider cannot be reached".into()),
                ))
            }
            _ => self.ports.run(at, identity, work),
        };
        let Some(result) = result else { return };
        let result = self.worked(at, work, result);
        self.log(at, format_args!("job {job} done: {}", job_name(work)));
        self.input(at, Input::Done { job, result });
    }

    /// What a user publishes lies in its node's blob store already.
    pub(super) fn has_blobs(&mut self, at: HostId, command: &Command) {
        if let Command::Publish(release) = command {
            let blobs = release.artifacts.iter().map(|artifact| artifact.blake3);
            self.host_mut(at).blobs.extend(blobs);
        }
    }
}

fn job_name(job: &Job) -> &'static str {
    match job {
        Job::Evaluate { .. } => "evaluate",
        Job::Fetch { .. } => "fetch",
        Job::Post(_) => "post",
        Job::Shard { .. } => "shard",
        Job::VerifyInit { .. } => "verify-init",
        Job::Combine { .. } => "combine",
        Job::VerifyFinish { .. } => "verify-finish",
        Job::Noise { .. } => "noise",
        _ => "other",
    }
}
