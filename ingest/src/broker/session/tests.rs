use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn key(client: &str) -> Key {
    (SourceId::new("s").unwrap(), client.to_owned())
}

fn with_id(id: u16) -> Session {
    Session { received: [(id, true)].into_iter().collect(), ..Session::default() }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_found_until_it_expires_or_a_clean_start() {
    let sessions = Arc::new(Sessions::new(10, Arc::default()));
    let take = |clean| sessions.acquire(key("a"), clean, CancellationToken::new());
    let (lease, _, present) = take(false).await;
    assert!(!present);
    lease.release(with_id(7), DAY);
    let (lease, session, present) = take(false).await;
    assert!(present && session.received.contains_key(&7));
    lease.release(session, DAY);
    tokio::time::advance(DAY).await;
    let (lease, session, present) = take(false).await;
    assert!(!present && session.received.is_empty());
    lease.release(with_id(8), DAY);
    let (lease, session, present) = take(true).await;
    assert!(!present && session.received.is_empty());
    lease.release(session, Duration::ZERO);
    assert!(sessions.entries.lock().is_empty());
}

#[tokio::test]
async fn takeover_cancels_the_owner_and_waits_for_its_state() {
    let counters = Arc::<Counters>::default();
    let sessions = Arc::new(Sessions::new(10, Arc::clone(&counters)));
    let old = CancellationToken::new();
    let (lease, ..) = sessions.acquire(key("a"), false, old.clone()).await;
    let mut next = Box::pin(sessions.acquire(key("a"), false, CancellationToken::new()));
    assert!(futures::poll!(&mut next).is_pending());
    assert!(old.is_cancelled());
    lease.release(with_id(9), DAY);
    let (_lease, session, present) = next.await;
    assert!(present && session.received.contains_key(&9));
    assert_eq!(counters.takeovers.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn kept_sessions_are_bounded() {
    let sessions = Arc::new(Sessions::new(3, Arc::default()));
    for i in 0..10 {
        let (lease, session, _) = sessions.acquire(key(&i.to_string()), false, CancellationToken::new()).await;
        lease.release(session, DAY + Duration::from_secs(i));
    }
    assert_eq!(sessions.entries.lock().len(), 3);
    assert!(sessions.entries.lock().contains_key(&key("9")), "the one that expires last stays");
}
