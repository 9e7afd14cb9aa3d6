//! Kills the server while it changes the control store: tokens are made, revoked and replaced,
//! sessions are shared, quotas are used up. What was answered holds after the next start, and what
//! was not answered is done or not done, but never half.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    http::{Answer, request_as},
    options::CommonOptions,
    server::{Server, ServerOptions},
};

/// Users that have one token each, which is replaced and revoked.
const USERS: usize = 24;
/// Tasks that change the store at once.
const CLIENTS: usize = 4;
/// The longest time that a server lives, in milliseconds.
const LIFE_MAX_MS: u64 = 120;
/// One of so many servers is asked to stop, and killed while it writes what it has counted.
const STOPPED_IN: usize = 4;
/// The longest time until such a server is killed, in milliseconds.
const STOPPING_MAX_MS: u64 = 30;

#[derive(Args)]
pub struct Options {
    /// How often the server is killed.
    #[arg(long, default_value_t = 200)]
    kills: usize,
}

/// The state of a token or a share, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Valid,
    Ended,
    /// The server was killed before it answered the request that ends it.
    Unknown,
}

/// A token or a share.
#[derive(Clone, Debug)]
struct Item {
    id: String,
    secret: String,
    state: State,
}

/// The known facts about one user.
#[derive(Debug, Default)]
struct User {
    tokens: Vec<Item>,
    /// Whether a token may have been made or replaced whose secret is not known.
    may_have_unseen: bool,
    /// Whether the server was asked to replace its token, and has not answered.
    is_being_replaced: bool,
}

/// The facts that the store must know after the next start.
#[derive(Default)]
struct Model {
    users: BTreeMap<String, User>,
    shares: Vec<Item>,
    answered: u64,
    unanswered: u64,
}

#[derive(Clone)]
struct World {
    model: Arc<Mutex<Model>>,
    /// The token of an admin, which never changes.
    admin: String,
    /// The token of a user that shares its session and uses up quotas.
    owner: String,
    session: String,
}

pub async fn run(common: &CommonOptions, options: &Options) -> Result<()> {
    let quota = ["--user-output-bytes-per-day", "1000000000", "--share-creations-per-min", "1000000"];
    let arguments = [&["--auth", "tokens"][..], &quota].concat();
    let mut server = Server::start(ServerOptions::new(common).with(&arguments))?;
    let admin = token(common, server.data(), &["create", "root", "--role", "admin"])?;
    let owner = token(common, server.data(), &["create", "owner"])?;
    let body = json!({"runtime": "bash", "code": "echo hello"});
    let session =
        request_as(&owner, server.address(), "POST", "/sessions", Some(&body)).await?.expect(201)?;
    let session = session["id"].as_str().context("an id")?.to_owned();
    let world = World { model: Arc::default(), admin, owner, session };
    let mut stops = 0;
    for kill in 1..=options.kills {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (world, address) = (world.clone(), server.address().to_owned());
            clients.spawn(async move { while world.change(&address).await.is_ok() {} });
        }
        // The kill is to come at any moment, so no event is awaited, here or below.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=LIFE_MAX_MS))).await;
        if fastrand::usize(0..STOPPED_IN) == 0 {
            stops += 1;
            server.terminate();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=STOPPING_MAX_MS))).await;
        }
        server.kill();
        while clients.join_next().await.transpose()?.is_some() {}
        let listed = listed(common, server.data()).with_context(|| format!("after kill {kill}"))?;
        server.restart()?;
        world.check(server.address(), &listed).await.with_context(|| format!("after kill {kill}"))?;
        check_usage(&world, server.address()).await.with_context(|| format!("after kill {kill}"))?;
    }
    // A kill may lose what was counted in the last seconds; an orderly stop loses nothing.
    let day = today();
    let before = used_output_bytes(&world, server.address()).await?;
    server.terminate();
    server.wait()?;
    server.restart()?;
    let output_bytes = used_output_bytes(&world, server.address()).await?;
    // Usage begins anew with each day.
    ensure!(
        output_bytes >= before || day != today(),
        "used output fell from {before} to {output_bytes} bytes"
    );
    check_usage(&world, server.address()).await?;
    let model = world.model();
    let tokens: usize = model.users.values().map(|user| user.tokens.len()).sum();
    println!(
        "{} kills, {stops} of them while the server stopped: {} changes answered and {} not, {tokens} tokens, {} \
         shares, {output_bytes} bytes of output counted: nothing half done, the database undamaged",
        options.kills,
        model.answered,
        model.unanswered,
        model.shares.len(),
    );
    Ok(())
}

impl World {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one random change. An error means that the server is gone.
    async fn change(&self, address: &str) -> Result<()> {
        let result = match fastrand::u8(0..10) {
            0..=4 => self.change_token(address).await,
            5..=8 => self.change_share(address).await,
            _ => self.use_output(address).await,
        };
        let mut model = self.model();
        match result {
            Ok(()) => model.answered += 1,
            Err(_) => model.unanswered += 1,
        }
        result
    }

    /// Makes a token for a user that has none, and otherwise replaces or revokes the one it has.
    async fn change_token(&self, address: &str) -> Result<()> {
        let name = format!("user-{}", fastrand::usize(0..USERS));
        // Each user is changed by one task at a time, so that it is known what its tokens are.
        let (mut user, old) = {
            let mut model = self.model();
            if model.users.contains_key(&name) {
                let Some(user) = model.users.get_mut(&name).filter(|user| !user.may_have_unseen) else {
                    return Ok(());
                };
                user.may_have_unseen = true;
                let old = user.tokens.iter().position(|token| token.state == State::Valid);
                (user.tokens.clone(), old)
            } else {
                model.users.insert(name.clone(), User { may_have_unseen: true, ..User::default() });
                (vec![], None)
            }
        };
        let (method, path, body) = match old {
            None => ("POST", "/tokens".to_owned(), json!({"user": name})),
            Some(old) if fastrand::bool() => ("DELETE", format!("/tokens/{}", user[old].id), Value::Null),
            Some(old) => ("POST", format!("/tokens/{}/rotate", user[old].id), json!({})),
        };
        if let Some(old) = old {
            user[old].state = State::Unknown;
            let mut model = self.model();
            let known = model.users.entry(name.clone()).or_default();
            known.tokens.clone_from(&user);
            known.is_being_replaced = method == "POST";
        }
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = request_as(&self.admin, address, method, &path, body).await?;
        let made = match answer {
            Answer { status: 201, body } => Some(item(&body, body["token"].as_str())?),
            Answer { status: 204, .. } => None,
            Answer { status, body } => bail!("{method} {path} answered {status}: {body}"),
        };
        if let Some(old) = old {
            user[old].state = State::Ended;
        }
        user.extend(made);
        self.model().users.insert(name, User { tokens: user, ..User::default() });
        Ok(())
    }

    /// Makes a link to the session, or revokes one.
    async fn change_share(&self, address: &str) -> Result<()> {
        let path = format!("/sessions/{}/shares", self.session);
        let valid = {
            let mut model = self.model();
            let mut valid: Vec<_> =
                model.shares.iter_mut().filter(|share| share.state == State::Valid).collect();
            // The number of shares of a session is bounded.
            (valid.len() >= 4 || (!valid.is_empty() && fastrand::bool())).then(|| {
                let index = fastrand::usize(0..valid.len());
                let share = &mut valid[index];
                share.state = State::Unknown;
                share.id.clone()
            })
        };
        let Some(id) = valid else {
            let body = json!({"rights": "watch"});
            let answer = request_as(&self.owner, address, "POST", &path, Some(&body)).await?;
            if answer.status == 429 {
                // Those that were made and not answered count, too.
                return self.revoke_all_shares(address, &path).await;
            }
            let share = answer.expect(201)?;
            let secret =
                share["link"].as_str().and_then(|link| link.split_once("#share=")).map(|(_, secret)| secret);
            self.model().shares.push(item(&share, secret)?);
            return Ok(());
        };
        request_as(&self.owner, address, "DELETE", &format!("{path}/{id}"), None).await?.expect(204)?;
        self.end_share(&id);
        Ok(())
    }

    async fn revoke_all_shares(&self, address: &str, path: &str) -> Result<()> {
        let shares = request_as(&self.owner, address, "GET", path, None).await?.expect(200)?;
        for share in shares.as_array().into_iter().flatten() {
            let id = share["id"].as_str().context("an id")?;
            for known in self.model().shares.iter_mut().filter(|share| share.id == id) {
                known.state = State::Unknown;
            }
            // Another task may have revoked it.
            request_as(&self.owner, address, "DELETE", &format!("{path}/{id}"), None).await?;
            self.end_share(id);
        }
        Ok(())
    }

    fn end_share(&self, id: &str) {
        for share in self.model().shares.iter_mut().filter(|share| share.id == id) {
            share.state = State::Ended;
        }
    }

    /// Runs a program whose output counts.
    async fn use_output(&self, address: &str) -> Result<()> {
        let body = json!({"runtime": "bash", "code": "echo hello"});
        request_as(&self.owner, address, "POST", "/sessions", Some(&body)).await?.expect(201).map(drop)
    }

    /// Compares what the server knows with the model, and makes the model certain again. `listed`
    /// are the tokens of each user that were not revoked.
    async fn check(&self, address: &str, listed: &BTreeMap<String, Vec<String>>) -> Result<()> {
        let mut users = std::mem::take(&mut self.model().users);
        for (name, user) in &mut users {
            let ids = listed.get(name).map(Vec::as_slice).unwrap_or_default();
            ensure!(ids.len() <= 1, "{name} has {ids:?}: a token was replaced by half");
            ensure!(
                ids.len() == 1 || !user.is_being_replaced,
                "{name} has none: a token was replaced by half"
            );
            for token in &mut user.tokens {
                let is_listed = ids.contains(&token.id);
                let status = request_as(&token.secret, address, "GET", "/runtimes", None).await?.status;
                ensure!(
                    (status == 200) == is_listed && (status == 200 || status == 401),
                    "token {} is answered {status}, and is listed: {is_listed}",
                    token.id
                );
                match token.state {
                    State::Valid => ensure!(is_listed, "token {} of {name} was lost", token.id),
                    State::Ended => ensure!(!is_listed, "token {} of {name} is valid again", token.id),
                    State::Unknown => {}
                }
                token.state = if is_listed { State::Valid } else { State::Ended };
            }
            let is_known = ids.iter().all(|id| user.tokens.iter().any(|token| token.id == *id));
            ensure!(is_known || user.may_have_unseen, "{name} has a token that nobody made: {ids:?}");
            if !is_known {
                // A token that was made and not answered. Its secret is not known to anybody.
                let path = format!("/tokens/{}", ids[0]);
                request_as(&self.admin, address, "DELETE", &path, None).await?.expect(204)?;
            }
            (user.may_have_unseen, user.is_being_replaced) = (false, false);
            // Old tokens have been checked often enough.
            let surplus = user.tokens.len().saturating_sub(3);
            user.tokens.drain(..surplus);
        }
        self.model().users = users;
        self.check_shares(address).await
    }

    async fn check_shares(&self, address: &str) -> Result<()> {
        let mut shares = std::mem::take(&mut self.model().shares);
        let surplus = shares.len().saturating_sub(20);
        for share in &mut shares[surplus..] {
            let body = json!({"secret": share.secret});
            // Everybody may redeem a share. The owner's guesses are not counted with others'.
            let answer = request_as(&self.owner, address, "POST", "/shares/redeem", Some(&body)).await?;
            match (share.state, answer.status) {
                (State::Valid, 200) | (State::Ended, 404) | (State::Unknown, 200 | 404) => {}
                (state, status) => bail!("share {} is answered {status}, and was {state:?}", share.id),
            }
            share.state = if answer.status == 200 { State::Valid } else { State::Ended };
        }
        self.model().shares = shares;
        Ok(())
    }
}

/// A token or a share that was made.
fn item(document: &Value, secret: Option<&str>) -> Result<Item> {
    let id = document["id"].as_str().context("an id")?.to_owned();
    Ok(Item { id, secret: secret.context("a secret")?.to_owned(), state: State::Valid })
}

/// Checks that no session was counted twice.
async fn check_usage(world: &World, address: &str) -> Result<()> {
    let sessions = request_as(&world.owner, address, "GET", "/sessions", None).await?.expect(200)?;
    let sessions = sessions.as_array().context("a list")?;
    let written = |session: &Value| session["usage"]["output_bytes"].as_u64().unwrap_or(0);
    let most: u64 = sessions.iter().map(written).sum();
    let used = used_output_bytes(world, address).await?;
    ensure!(used <= most, "{used} bytes of output are counted, and {most} were written");
    Ok(())
}

/// The day in UTC, by which usage is counted, in days since the epoch.
fn today() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_secs() / (24 * 60 * 60)
}

/// The output that the owner has used of its quota.
async fn used_output_bytes(world: &World, address: &str) -> Result<u64> {
    let quotas = request_as(&world.owner, address, "GET", "/quota", None).await?.expect(200)?;
    let quotas = quotas["quotas"].as_array().context("a list of quotas")?;
    let quota = quotas.iter().find(|quota| quota["quota"] == "output_bytes_per_day").context("the quota")?;
    quota["used"].as_u64().context("a number")
}

/// The ids of the tokens that were not revoked, by user. No server runs on the data: the command
/// opens the database itself, and checks its integrity.
fn listed(common: &CommonOptions, data: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let tokens: Vec<Value> = serde_json::from_str(&token(common, data, &["list", "--json"])?)?;
    let mut listed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for token in &tokens {
        let (user, id) = (token["user"].as_str().context("a user")?, token["id"].as_str().context("an id")?);
        listed.entry(user.to_owned()).or_default().push(id.to_owned());
    }
    Ok(listed)
}

/// The output of `livecode token`.
fn token(common: &CommonOptions, data: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(&common.binary);
    command.arg("token").args(arguments).arg("--data-dir").arg(data).env_remove("LIVECODE_SERVER");
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
