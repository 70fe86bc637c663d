use super::*;
use crate::topic::tests::{any_filter, any_topic};
use proptest::prelude::*;

const OPTIONS: Options = Options { no_local: false, retain_as_published: false };

fn entry(id: u64) -> Entry {
    Entry { subscriber: Arc::new(Subscriber::new(id, Version::V4, usize::MAX, 1_000)), options: OPTIONS }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_tree_finds_what_the_filters_match_one_by_one(
        filters in prop::collection::vec(any_filter(), 0..20),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        topic in any_topic(),
    ) {
        let mut tree = Node::default();
        let mut held: Vec<Option<TopicFilter>> = Vec::new();
        for (id, filter) in filters.iter().enumerate() {
            prop_assert!(tree.insert(filter, entry(id as u64)));
            prop_assert!(!tree.insert(filter, entry(id as u64)), "the same again replaces");
            held.push(TopicFilter::parse(filter));
        }
        for i in gone.iter().filter(|_| !held.is_empty()).map(|g| g.index(held.len())).collect::<Vec<_>>() {
            let existed = held[i].take().is_some();
            prop_assert_eq!(tree.remove(&filters[i], i as u64), existed);
        }
        let mut found = Vec::new();
        tree.matches(&topic, &mut |e| found.push(e.subscriber.id));
        found.sort_unstable();
        let expected: Vec<u64> =
            held.iter().enumerate().filter(|(_, f)| f.as_ref().is_some_and(|f| f.matches(&topic))).map(|(i, _)| i as u64).collect();
        prop_assert_eq!(found, expected);
        for (i, filter) in filters.iter().enumerate() {
            tree.remove(filter, i as u64);
        }
        prop_assert!(tree.children.is_empty(), "an empty tree has no nodes");
    }
}
