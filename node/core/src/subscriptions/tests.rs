//! Tests of `subscriptions`: what is delivered, when, and what a crash costs.

use fieldmark_fl::seal;
use fieldmark_ledger::catalogue::Model;
use fieldmark_ledger::store::MemoryStore;
use fieldmark_protocol::address::Roles;
use fieldmark_protocol::webhook::Received;
use fieldmark_protocol::{PublicKey, SecretKey};

use super::*;
use crate::compute::JobResult;
use crate::context::{Keys, Policy};
use crate::driver::Driver;
use crate::io::{Command, Input, JobId, Output};
use crate::testing::release;
use crate::{NodeCore, NodeOptions};

const URL: &str = "https://hooks.example.org/fieldmark";

fn core() -> NodeCore {
    let (hpke, hpke_public) = seal::keypair(&[3; 32]);
    NodeCore::new(NodeOptions {
        keys: Keys {
            identity: SecretKey::from_seed(&[1; 32]),
            node: SecretKey::from_seed(&[2; 32]),
            hpke,
            hpke_public,
        },
        name: "ada".into(),
        roles: Roles(Roles::PROVIDER),
        policy: Policy::default(),
        seed: [4; 32],
    })
}

/// A node with its store, its clock and what it put out.
struct Desk {
    driver: Driver<MemoryStore>,
    now: u64,
    outputs: Vec<Output>,
}

impl Desk {
    fn new() -> Self {
        let mut desk = Self {
            driver: Driver::new(core(), MemoryStore::new()),
            now: 1_000_000,
            outputs: Vec::new(),
        };
        desk.input(Input::Start);
        desk
    }

    fn input(&mut self, input: Input) {
        self.now += 10;
        self.outputs
            .extend(self.driver.step([(self.now, input)]).unwrap());
    }

    fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        let command = Box::new(command);
        self.input(Input::Command { id: 1, command });
        let replies = self.outputs.iter().rev();
        let mut replies = replies.filter_map(|output| match output {
            Output::Reply { result, .. } => Some(result.clone()),
            _ => None,
        });
        replies.next().expect("a command is answered")
    }

    fn publish(&mut self, version: &str) -> RecordId {
        match self.command(Command::Publish(release(version))) {
            Ok(Reply::Recorded(ids)) => ids[0],
            other => panic!("{other:?}"),
        }
    }

    fn subscribe(&mut self, release: RecordId, channel: Channel, history: bool) -> ContentHash {
        let subscribe = Command::Subscribe {
            release,
            channel,
            history,
        };
        match self.command(subscribe) {
            Ok(Reply::Subscribed { subscription, .. }) => subscription,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass, in one step.
    fn wait(&mut self, ms: u64) {
        self.now += ms;
        self.input(Input::Timer);
    }

    /// The messages put out since the last call.
    fn posts(&mut self) -> Vec<(JobId, Post)> {
        let posts = self.outputs.drain(..).filter_map(|output| match output {
            Output::Compute { job, work } => match *work {
                Job::Post(post) => Some((job, post)),
                _ => None,
            },
            _ => None,
        });
        posts.collect()
    }

    fn answer(&mut self, job: JobId, result: Result<(), String>) {
        let result = JobResult::Posted(result);
        self.input(Input::Done { job, result });
    }

    /// As after a power failure: only what was committed is left.
    fn crash(self) -> Self {
        let store = self.driver.into_store();
        let mut desk = Self {
            driver: Driver::new(core(), store),
            now: self.now,
            outputs: Vec::new(),
        };
        desk.input(Input::Start);
        desk
    }
}

fn webhook() -> Channel {
    Channel::Webhook {
        url: URL.into(),
        allow_private: false,
    }
}

fn version(post: &Post) -> String {
    let news: News = serde_json::from_slice(&post.body).unwrap();
    news.version
}

#[test]
fn only_what_happens_after_the_subscription_is_posted_unless_history_is_asked_for() {
    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    desk.subscribe(first, webhook(), false);
    desk.wait(LOOK_MS);
    assert!(desk.posts().is_empty());
    desk.publish("2.0.0");
    desk.wait(LOOK_MS);
    let posts = desk.posts();
    assert_eq!(
        posts.iter().map(|(_, post)| version(post)).collect::<Vec<_>>(),
        ["2.0.0"]
    );

    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    desk.subscribe(first, webhook(), true);
    assert_eq!(version(&desk.posts()[0].1), "1.0.0");
}

#[test]
fn a_message_is_signed_by_the_node_over_time_and_body() {
    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    desk.subscribe(first, webhook(), true);
    let (_, post) = desk.posts().remove(0);
    let received = Received {
        key: SecretKey::from_seed(&[2; 32]).public(),
        timestamp_ms: post.timestamp_ms,
        signature: &post.signature,
        body: &post.body,
    };
    assert_eq!(received.check(desk.now, 60_000), Ok(()));
    let news: News = serde_json::from_slice(&post.body).unwrap();
    assert_eq!((news.id, post.url.as_str()), (post.item, URL));
}

#[test]
fn messages_come_one_at_a_time_in_order_and_each_once() {
    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    desk.subscribe(first, webhook(), true);
    desk.publish("2.0.0");
    desk.wait(LOOK_MS);
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut posts = desk.posts();
        assert_eq!(posts.len(), 1, "one is under way at a time");
        let (job, post) = posts.remove(0);
        told.push(version(&post));
        desk.answer(job, Ok(()));
    }
    assert_eq!(told, ["1.0.0", "2.0.0"]);
    desk.wait(LOOK_MS);
    assert!(desk.posts().is_empty());
}

#[test]
fn a_failure_is_tried_again_later_and_later() {
    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    desk.subscribe(first, webhook(), true);
    let mut wait = RETRY_MS_MIN;
    for _ in 0..15 {
        let (job, post) = desk.posts().pop().expect("it is tried again");
        assert_eq!(version(&post), "1.0.0");
        desk.answer(job, Err("refused".into()));
        assert!(desk.outputs.iter().any(|output| matches!(
            output,
            Output::Event(Event::DeliveryFailed { again_in_ms, .. }) if *again_in_ms == wait
        )));
        desk.wait(wait - 100);
        assert!(desk.posts().is_empty(), "too early");
        desk.wait(100);
        wait = (wait * 2).min(RETRY_MS_MAX);
    }
    assert_eq!(wait, RETRY_MS_MAX);
    let (job, _) = desk.posts().pop().unwrap();
    desk.answer(job, Ok(()));
    desk.wait(RETRY_MS_MAX);
    assert!(desk.posts().is_empty());
}

#[test]
fn a_crash_loses_nothing_and_repeats_only_what_was_not_marked() {
    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    desk.subscribe(first, webhook(), true);
    desk.publish("2.0.0");
    desk.wait(LOOK_MS);
    let (job, one) = desk.posts().remove(0);
    desk.answer(job, Ok(()));
    let (_, two) = desk.posts().remove(0);
    // The power fails after the receiver took the second and before the node knew.
    let mut desk = desk.crash();
    let (job, again) = desk.posts().remove(0);
    assert_eq!(
        (again.item, &again.body),
        (two.item, &two.body),
        "the same item under the same id"
    );
    assert_ne!(again.item, one.item);
    desk.answer(job, Ok(()));
    let mut desk = desk.crash();
    desk.wait(LOOK_MS);
    assert!(desk.posts().is_empty());
}

#[test]
fn a_reader_gets_what_it_has_not_confirmed() {
    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    let id = desk.subscribe(first, Channel::Reader, true);
    let waiting = |desk: &Desk| {
        let store = desk.driver.store();
        let subscription = subscriptions(store).unwrap().remove(0);
        pending(store, &subscription, &TrustPolicy::default()).unwrap()
    };
    let items: Vec<_> = waiting(&desk).iter().map(|item| item.id).collect();
    assert_eq!(items.len(), 1);
    let confirm = Command::ConfirmNews {
        subscription: id,
        items,
    };
    desk.command(confirm).unwrap();
    assert!(waiting(&desk).is_empty());
    let desk = desk.crash();
    assert!(waiting(&desk).is_empty());
}

#[test]
fn the_same_wish_is_the_same_subscription_and_its_end_forgets_it() {
    let mut desk = Desk::new();
    let first = desk.publish("1.0.0");
    let id = desk.subscribe(first, webhook(), false);
    assert_eq!(desk.subscribe(first, webhook(), true), id);
    assert_ne!(desk.subscribe(first, Channel::Reader, false), id);
    desk.command(Command::Unsubscribe { subscription: id }).unwrap();
    let error = desk
        .command(Command::Unsubscribe { subscription: id })
        .unwrap_err();
    assert_eq!(error.code, "not-found");
    desk.publish("2.0.0");
    desk.wait(LOOK_MS);
    assert!(desk.posts().is_empty());
    let left = desk
        .driver
        .store()
        .scan_all(Column::Meta, &key(DELIVERED, &[id.as_bytes()]));
    assert!(left.unwrap().is_empty());
}

/// The bytes on disk: changing them needs a migration.
#[test]
fn golden_layout_of_a_subscription_and_a_mark() {
    let model = Model {
        owner: PublicKey::new([1; 32]),
        name: "digits".into(),
    };
    let subscription = Subscription::new(&model, webhook(), 7);
    let json = serde_json::to_string(&subscription).unwrap();
    let owner = "01".repeat(32);
    assert_eq!(
        json,
        format!(
            "{{\"id\":\"{}\",\"model\":\"digits\",\"owner\":\"{owner}\",\"channel\":{{\"to\":\"webhook\",\
             \"url\":\"{URL}\",\"allow_private\":false}},\"created_at_ms\":7}}",
            include_str!("golden_id.hex").trim()
        )
    );
    let mut batch = Batch::new();
    mark(
        &mut batch,
        &ContentHash::new([1; 32]),
        &ContentHash::new([2; 32]),
        0x0102,
    );
    let write = &batch.writes()[0];
    assert_eq!(write.key, [b"delivered/".as_slice(), &[1; 32], &[2; 32]].concat());
    assert_eq!(write.value.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 1, 2][..]));
}
