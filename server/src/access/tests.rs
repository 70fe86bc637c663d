use super::*;
use schemas::ManualClock;

fn users(name: &str) -> (Users, PathBuf, Arc<ManualClock>) {
    let dir = std::env::temp_dir().join(format!("portico-users-{}-{name}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    (Users::open(&dir, Arc::clone(&clock) as Arc<dyn Clock>).unwrap(), dir, clock)
}

fn anna() -> User {
    User {
        name: "anna".into(),
        role: Role::Analyst,
        password: "correct horse battery".into(),
        tenants: vec!["bologna".into()],
        publish: vec![],
        subscribe: vec![],
        simulated: false,
        disabled: false,
    }
}

#[test]
fn right_password_enters_wrong_one_and_unknown_name_do_not() {
    let (users, dir, _) = users("password");
    users.change(|f| f.add(anna())).unwrap();
    for _ in 0..2 {
        assert_eq!(users.authenticate("anna", b"correct horse battery").unwrap().name, "anna");
    }
    assert!(users.authenticate("anna", b"wrong").is_none());
    assert!(users.authenticate("bruno", b"correct horse battery").is_none());
    let on_disk = std::fs::read_to_string(dir.join("users.json")).unwrap();
    assert!(!on_disk.contains("correct horse"));
}

#[test]
fn a_revoked_or_expired_token_is_nobody() {
    let (users, _, clock) = users("token");
    users.change(|f| f.add(anna())).unwrap();
    let (secret, id) = users.change(|f| f.issue_token("anna", 0, Some(50)).map(|s| (s, f.tokens[0].id.clone()))).unwrap();
    assert_eq!(users.by_token(secret.as_bytes()).unwrap().name, "anna");
    clock.set(Timestamp(51));
    assert!(users.by_token(secret.as_bytes()).is_none());
    clock.set(Timestamp(1));
    users.change(|f| Ok(f.revoke_token(&id))).unwrap();
    assert!(users.by_token(secret.as_bytes()).is_none());
}

#[test]
fn a_session_ends_by_time_and_by_signing_out() {
    let (users, _, clock) = users("session");
    users.change(|f| f.add(anna())).unwrap();
    let one = users.open_session(&anna());
    let two = users.open_session(&anna());
    assert!(users.by_token(one.as_bytes()).is_some());
    users.close_session(&one);
    assert!(users.by_token(one.as_bytes()).is_none());
    clock.advance_us(13 * schemas::time::HOUR_US);
    assert!(users.by_token(two.as_bytes()).is_none());
}

#[test]
fn a_change_made_by_another_process_is_seen() {
    let (users, dir, clock) = users("reload");
    users.change(|f| f.add(anna())).unwrap();
    let other = Users::open(&dir, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    other.change(|f| f.remove("anna")).unwrap();
    clock.advance_us(2_000_000);
    assert!(users.authenticate("anna", b"correct horse battery").is_none());
}

#[test]
fn short_passwords_and_second_users_of_a_name_are_refused() {
    let (users, _, _) = users("rules");
    let short = User { password: "short".into(), ..anna() };
    assert!(matches!(users.change(|f| f.add(short)), Err(AccessError::Weak)));
    users.change(|f| f.add(anna())).unwrap();
    assert!(matches!(users.change(|f| f.add(anna())), Err(AccessError::Exists(_))));
}
