//! `init` and `trust`: the data folder. Both work without a node.

use anyhow::Context as _;
use fieldmark_fl::seal;
use fieldmark_node::home::{Home, InitOptions, Role};
use fieldmark_protocol::PublicKey;
use fieldmark_protocol::trust::TrustPolicy;
use serde_json::json;

use crate::args::{Global, Init, RoleArg, Trust, TrustAction};
use crate::client::data_dir;
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// `init`
pub(crate) fn init(global: &Global, args: &Init, out: &Output) -> anyhow::Result<()> {
    let dir = data_dir(global)?;
    let role = |role: &RoleArg| match role {
        RoleArg::Aggregator => Role::Aggregator,
        RoleArg::Contributor => Role::Contributor,
        RoleArg::Provider => Role::Provider,
    };
    let options = InitOptions {
        name: args.name.clone(),
        network: Some(args.network.clone()),
        roles: args.role.iter().map(role).collect(),
        trust: TrustPolicy {
            aggregators: keys(&args.trust)?.into_iter().collect(),
        },
    };
    let home = Home::create(&dir, options)?;
    let (_, hpke) = seal::keypair(&home.hpke_seed);
    let (identity, node_key) = (home.identity.public(), home.node_key.public());
    let data = std::path::absolute(&dir).with_context(|| format!("{}: no such path", dir.display()))?;
    let value = json!({
        "identity": identity,
        "node_key": node_key,
        "hpke_key": hex::encode(hpke),
        "data": data,
    });
    out.result(&value, || {
        text::fields(&[
            ("name", home.config.name.clone()),
            ("identity", identity.to_string()),
            ("node key", node_key.to_string()),
            ("HPKE key", hex::encode(hpke)),
            ("data", data.display().to_string()),
        ])
    })?;
    out.note("Back up identity.key: whoever has it speaks for you. Run the node with `fieldmark node run`.");
    Ok(())
}

/// `trust`
pub(crate) fn trust(global: &Global, args: &Trust, out: &Output) -> anyhow::Result<()> {
    let dir = data_dir(global)?;
    let mut home = Home::open(&dir)?;
    let mut policy = home.trust.clone();
    match &args.action {
        TrustAction::Add(args) => policy.aggregators.extend(keys(&args.identities)?),
        TrustAction::Remove(args) => {
            for key in keys(&args.identities)? {
                if !policy.aggregators.remove(&key) {
                    return Err(
                        Failure::not_found(format!("{key} is not trusted; `fieldmark trust list`")).into(),
                    );
                }
            }
        }
        TrustAction::List => return list(&policy, out),
    }
    home.save_trust(policy.clone())?;
    list(&policy, out)?;
    Ok(())
}

fn list(policy: &TrustPolicy, out: &Output) -> anyhow::Result<()> {
    out.result(policy, || {
        if policy.aggregators.is_empty() {
            return "nobody is trusted as an aggregator; add one with `fieldmark trust add IDENTITY`"
                .to_owned();
        }
        policy
            .aggregators
            .iter()
            .map(PublicKey::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    })
}

fn keys(texts: &[String]) -> Result<Vec<PublicKey>, Failure> {
    let key = |text: &String| {
        text.parse::<PublicKey>().map_err(|error| {
            Failure::usage(format!(
                "{error}; an identity has 64 hex digits, as `fieldmark init` prints it"
            ))
        })
    };
    texts.iter().map(key).collect()
}
