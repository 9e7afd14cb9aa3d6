//! The control store as its users see it.
#![allow(clippy::unwrap_used)]

use livecode_protocol::{SessionId, quota::OwnLimits, share::ShareRights, token::Role};
use livecode_store::{
    AuditFilter, AuditKeep, AuditedAction, ControlStore, ControlStoreError, DayUsage, NewShare, NewToken,
    PurgedRows, ShareKey, Token, TokenKey, TokenListKey, UserKeys,
};

fn new(user: &str) -> NewToken {
    NewToken { user: user.parse().unwrap(), role: Role::User, limits: OwnLimits::default(), expires_us: None }
}

async fn all(store: &ControlStore) -> Vec<Token> {
    store.tokens(None, usize::MAX).await.unwrap()
}

#[tokio::test]
async fn a_token_is_found_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let (token, secret) =
        store.create_token(&NewToken { expires_us: Some(50), ..new("ada") }, 10).await.unwrap();
    assert!(token.is_valid_at(49) && !token.is_valid_at(50));
    assert_eq!(store.token(&secret.key()).await.unwrap(), Some(token.clone()));
    assert_eq!(store.token(&TokenKey::Digest("0".repeat(64))).await.unwrap(), None);

    store.close().await;
    let store = ControlStore::open(folder.path()).await.unwrap();
    assert_eq!(all(&store).await, std::slice::from_ref(&token));
    assert_eq!(store.token(&TokenKey::Id(token.id.clone())).await.unwrap(), Some(token.clone()));
    let revoked = store.revoke_token(&token.id, 20).await.unwrap();
    assert!(!revoked.is_valid_at(30));
    assert_eq!(store.token(&secret.key()).await.unwrap(), Some(revoked));
    assert_eq!(all(&store).await, []);
    let again = store.revoke_token(&token.id, 30).await;
    assert!(matches!(again, Err(ControlStoreError::NoSuchToken(id)) if id == token.id));
}

#[tokio::test]
async fn a_rotated_token_is_replaced_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let (old, old_secret) =
        store.create_token(&NewToken { role: Role::Admin, ..new("ada") }, 10).await.unwrap();
    let (token, secret) = store.rotate_token(&old.id, None, 20).await.unwrap();
    assert_ne!(secret, old_secret);
    assert_eq!((token.role, &token.user), (Role::Admin, &old.user));
    assert!(!store.token(&old_secret.key()).await.unwrap().unwrap().is_valid_at(20));
    assert!(store.token(&secret.key()).await.unwrap().unwrap().is_valid_at(20));
    assert!(store.rotate_token(&old.id, None, 30).await.is_err());
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn a_token_that_replaces_an_expired_one_is_valid_as_long_as_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let (role, limits) =
        ("pupil".parse().unwrap(), OwnLimits { cpu_ms_per_day: Some(7), ..Default::default() });
    let (old, _) = store
        .create_token(&NewToken { role, limits, expires_us: Some(110), ..new("ada") }, 10)
        .await
        .unwrap();
    assert_eq!(store.token(&TokenKey::Id(old.id.clone())).await.unwrap(), Some(old.clone()));
    assert_eq!(store.roles_of_tokens(109).await.unwrap(), ["pupil"]);
    assert!(store.roles_of_tokens(110).await.unwrap().is_empty());
    let (later, _) = store.rotate_token(&old.id, None, 60).await.unwrap();
    assert_eq!((later.expires_us, &later.role, later.limits), (Some(110), &old.role, limits));
    let (anew, _) = store.rotate_token(&later.id, None, 200).await.unwrap();
    assert_eq!(anew.expires_us, Some(250), "the time from 60 to 110, from 200 on");
    let (given, _) = store.rotate_token(&anew.id, Some(1_000), 300).await.unwrap();
    assert_eq!(given.expires_us, Some(1_000));
}

#[tokio::test]
async fn the_list_goes_on_where_a_page_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    for now_us in [10, 10, 10, 20, 30] {
        store.create_token(&new("ada"), now_us).await.unwrap();
    }
    let listed = all(&store).await;
    let mut paged: Vec<Token> = vec![];
    for _ in 0..5 {
        let after =
            paged.last().map(|last| TokenListKey { created_us: last.created_us, id: last.id.clone() });
        paged.extend(store.tokens(after.as_ref(), 1).await.unwrap());
    }
    assert_eq!(paged, listed);
    assert!(listed.is_sorted_by_key(|token| std::cmp::Reverse(token.created_us)));
}

#[tokio::test]
async fn a_backup_is_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let (token, _) = store.create_token(&new("ada"), 10).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    store.back_up(copy.path()).await.unwrap();
    let restored = ControlStore::open(copy.path()).await.unwrap();
    assert_eq!(all(&restored).await, [token]);
    assert!(matches!(store.back_up(copy.path()).await, Err(ControlStoreError::BackupExists(_))));
}

#[tokio::test]
async fn damage_and_a_newer_version_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    store.close().await;
    let path = folder.path().join("control.sqlite");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&path, "no database at all, but a text that is long enough to be one".repeat(100))
        .unwrap();
    let error = ControlStore::open(folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("control.sqlite"), "{error}");
}

#[tokio::test]
async fn the_key_of_tickets_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let key = store.ticket_key().await.unwrap();
    assert_eq!(ControlStore::open(folder.path()).await.unwrap().ticket_key().await.unwrap(), key);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(ControlStore::open(other.path()).await.unwrap().ticket_key().await.unwrap(), key);
}

fn share(session: SessionId, expires_us: u64) -> NewShare {
    NewShare { session, rights: ShareRights::Watch, maker: "user:ada".to_owned(), expires_us }
}

#[tokio::test]
async fn a_share_is_found_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let (session, other) = (SessionId::from_random([1; 16]), SessionId::from_random([2; 16]));
    let (made, secret) = store.create_share(&share(session, 50), 2, 10).await.unwrap().unwrap();
    assert!(made.is_valid_at(49) && !made.is_valid_at(50));

    store.close().await;
    let store = ControlStore::open(folder.path()).await.unwrap();
    assert_eq!(store.share(&secret.key()).await.unwrap(), Some(made.clone()));
    assert_eq!(store.share(&ShareKey::Id(made.id.clone())).await.unwrap(), Some(made.clone()));
    assert_eq!(store.share(&ShareKey::Digest("0".repeat(64))).await.unwrap(), None);
    assert_eq!(store.shares_of(session, 20).await.unwrap(), std::slice::from_ref(&made));
    assert_eq!(store.shares_of(session, 50).await.unwrap(), []);
    assert_eq!(store.shares_of(other, 20).await.unwrap(), []);
    assert!(!store.revoke_share(other, &made.id, 20).await.unwrap(), "of another session");
    assert!(store.revoke_share(session, &made.id, 20).await.unwrap());
    assert!(!store.revoke_share(session, &made.id, 20).await.unwrap(), "it is revoked");
    let revoked = store.share(&secret.key()).await.unwrap().unwrap();
    assert!(!revoked.is_valid_at(20) && revoked.revoked_us == Some(20));
    assert_eq!(store.shares_of(session, 20).await.unwrap(), []);
}

#[tokio::test]
async fn a_session_has_a_bounded_number_of_shares() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let (session, other) = (SessionId::from_random([1; 16]), SessionId::from_random([2; 16]));
    let (first, _) = store.create_share(&share(session, 50), 2, 10).await.unwrap().unwrap();
    store.create_share(&share(session, 60), 2, 10).await.unwrap().unwrap();
    assert_eq!(store.create_share(&share(session, 50), 2, 10).await.unwrap(), None);
    store.create_share(&share(other, 50), 2, 10).await.unwrap().unwrap();
    // There is room again for each that is revoked or has expired.
    assert!(store.revoke_share(session, &first.id, 20).await.unwrap());
    store.create_share(&share(session, 50), 2, 20).await.unwrap().unwrap();
    assert_eq!(store.share(&ShareKey::Id(first.id)).await.unwrap(), None, "it is forgotten");
    assert_eq!(store.create_share(&share(session, 90), 2, 20).await.unwrap(), None);
    store.create_share(&share(session, 90), 2, 50).await.unwrap().unwrap();
    assert_eq!(store.sessions_with_shares().await.unwrap(), [session]);
    store.forget_shares_of(session).await.unwrap();
    assert_eq!(store.sessions_with_shares().await.unwrap(), []);
}

fn action(time_us: u64, actor: &str, action: &str, session: &str) -> AuditedAction {
    let (action, actor, session) = (action.to_owned(), actor.to_owned(), Some(session.to_owned()));
    AuditedAction { time_us, times: 1, action, actor, credential: None, session, subject: None, client: None }
}

#[tokio::test]
async fn the_audit_is_kept_for_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let many: Vec<_> = (0..1_200).map(|time_us| action(time_us, "ada", "session_created", "1")).collect();
    store.add_to_audit(&many, AuditKeep::default()).await.unwrap();
    let keep = AuditKeep { since_us: 1_000, rows_max: None };
    store.add_to_audit(&[action(1_300, "bob", "session_watched", "1")], keep).await.unwrap();
    let all = AuditFilter { max: u64::MAX, ..AuditFilter::default() };
    let found = store.audit(&all).await.unwrap();
    assert_eq!(found.len(), 201, "those from before the time are forgotten");
    assert_eq!((&*found[0].actor, found[200].time_us), ("bob", 1_000), "the latest is the first");
    let of_ada = AuditFilter { actor: Some("ada".into()), since_us: 1_190, max: 3, ..all.clone() };
    assert_eq!(store.audit(&of_ada).await.unwrap().len(), 3);
    let of_session = AuditFilter { session: Some("2".into()), ..all.clone() };
    assert_eq!(store.audit(&of_session).await.unwrap(), []);
    // The oldest go first, those that have just come included.
    let keep = AuditKeep { since_us: 0, rows_max: Some(2) };
    store
        .add_to_audit(&[action(1_400, "bob", "session_ended", "1"), action(1, "x", "y", "1")], keep)
        .await
        .unwrap();
    let found = store.audit(&all).await.unwrap();
    assert_eq!(found.iter().map(|action| action.time_us).collect::<Vec<_>>(), [1_400, 1_300]);
}

#[tokio::test]
async fn a_purge_leaves_nothing_of_the_user_and_all_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = ControlStore::open(folder.path()).await.unwrap();
    let (token, _) = store.create_token(&new("ada-lovelace"), 10).await.unwrap();
    let (other, _) = store.create_token(&new("bob"), 10).await.unwrap();
    let about_token = AuditedAction {
        session: None,
        subject: Some(token.id.clone()),
        ..action(1, "root", "token_created", "")
    };
    let actions = [
        about_token,
        action(2, "ada-lovelace", "session_created", "forgotten"),
        action(3, "bob", "session_watched", "forgotten"),
        action(4, "root", "session_watched", "kept"),
        action(5, "bob", "session_created", "of bob"),
        AuditedAction {
            client: Some("192.0.2.1".into()),
            ..action(6, "ada-lovelace", "session_ended", "of bob")
        },
        // The creation of this session is not in the audit any more.
        action(7, "ada-lovelace", "session_watched", "long ago"),
    ];
    store.add_to_audit(&actions, AuditKeep::default()).await.unwrap();
    let usage = |payer: &str| DayUsage { payer: payer.into(), cpu_ms: 1, output_bytes: 2 };
    store.set_usage_of_day(7, &[usage("ada-lovelace"), usage("bob")]).await.unwrap();
    let by_ada = NewShare { maker: "user:ada-lovelace".into(), ..share(SessionId::from_random([1; 16]), 50) };
    store.create_share(&by_ada, 9, 10).await.unwrap().unwrap();

    let keys = UserKeys {
        actor: "ada-lovelace".into(),
        payer: "ada-lovelace".into(),
        maker: "user:ada-lovelace".into(),
        name: Some("ada-lovelace".parse().unwrap()),
    };
    let purged = store.purge_user(&keys, &["kept".to_owned()]).await.unwrap();
    assert_eq!(purged, PurgedRows { tokens: vec![token.id], audit: 5, usage: 1, has_copies: false });
    assert_eq!(store.tokens(None, 10).await.unwrap(), [other]);
    let all = AuditFilter { max: u64::MAX, ..AuditFilter::default() };
    // An action of an admin with the session of somebody else stays, and does not tell whose it was.
    let by_nobody = action(6, "purged", "session_ended", "of bob");
    assert_eq!(store.audit(&all).await.unwrap(), [by_nobody, actions[4].clone()]);
    assert_eq!(store.usage_of("ada-lovelace").await.unwrap(), []);
    assert_eq!(store.usage_of("bob").await.unwrap(), [(7, usage("bob"))]);
    assert_eq!(store.sessions_with_shares().await.unwrap(), []);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(12).any(|bytes| bytes == b"ada-lovelace"), "a copy of it is in a file");
    }
}
