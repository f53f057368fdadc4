//! What calls hold, when a collection begins and how long it takes, and who is killed: memory by itself, and in a small
//! stack.

use indexmap::IndexMap;
use proptest::prelude::*;
use pumphandle_core::time::simulate;
use pumphandle_core::{CallError, Dur, Share, World};

use super::*;
use crate::service_time::ServiceTime;
use crate::settings::{Cpu, ServiceSettings};
use crate::testing::{Answer, ended, ms, pass, read, send};
use crate::{Stack, StackSettings};

fn kib(n: u64) -> Bytes {
    Bytes(n << 10)
}

fn collector(at: f64, fixed_ms: u32, per_mib_ms: u32) -> Option<Collector> {
    Some(Collector { at: Share(at), pause: Pause { fixed: ms(fixed_ms), per_mib: ms(per_mib_ms) } })
}

/// 1 MiB, of which 256 KiB are base; a call holds 64 KiB. There is room for twelve.
fn memory() -> Memory {
    Memory { limit: kib(1024), base: kib(256), per_call: kib(64), garbage: kib(0), collector: None }
}

/// One service, which users reach, whose work takes a second.
fn stack(memory: Memory, other: ServiceSettings) -> Arc<Stack> {
    assert_eq!(memory.check(), []);
    let takes = Some(ServiceTime::Constant(ms(1000)));
    let api = ServiceSettings { memory: Some(memory), service_time: takes, ..other };
    let all: StackSettings = IndexMap::from([("api".to_owned(), api)]);
    Arc::new(Stack::start(World::new(7, true), &all))
}

fn used(stack: &Stack) -> u64 {
    read(stack).stock(StockName::Memory).level
}

#[test]
fn without_a_collector_what_a_call_holds_is_there_as_long_as_the_call_and_no_longer() {
    simulate(async {
        let stack = stack(memory(), ServiceSettings::default());
        assert_eq!(used(&stack), 256, "the base is there before anybody comes");
        send(&stack, 0);
        pass(500).await;
        send(&stack, 1);
        pass(1).await;
        assert_eq!(used(&stack), 256 + 128);
        pass(500).await;
        assert_eq!(used(&stack), 256 + 64);
        pass(1000).await;
        assert_eq!(used(&stack), 256);
        let account = *read(&stack).stock(StockName::Memory);
        assert_eq!((account.inflow, account.outflow), (256 + 128, 128));
        assert_eq!(account.integral, account.sojourns);
    })
    .unwrap();
}

#[test]
fn the_call_for_which_there_is_no_room_is_the_end_of_all_that_are_inside() {
    simulate(async {
        let other = ServiceSettings { start_up: ms(5000), workers: Some(4), ..ServiceSettings::default() };
        let stack = stack(memory(), other);
        // As many as there is room for: eight of them wait.
        let first: Vec<Answer> = (0..12).map(|i| send(&stack, i)).collect();
        pass(10).await;
        assert_eq!((used(&stack), read(&stack).flow(Flow::OomKills)), (1024, 0));
        let last = send(&stack, 12);
        pass(10).await;
        let all = first.iter().chain([&last]);
        for answer in all {
            assert_eq!(ended(answer), Some((Err(CallError::Disconnected), 10)), "they end when it is killed");
        }
        let after = read(&stack);
        assert_eq!((after.flow(Flow::OomKills), after.flow(Flow::Disconnected)), (1, 13));
        assert_eq!(after.stock(StockName::Memory).level, 256);
        let at = |stock| after.stock(stock).level;
        assert_eq!([StockName::Inside, StockName::Ready, StockName::Starting].map(at), [0, 0, 1]);
        // Nobody is there until it has started; then it is as new.
        assert_eq!(ended(&send(&stack, 13)), None);
        pass(4980).await;
        assert_eq!(ended(&send(&stack, 14)), None);
        pass(100).await;
        let late = send(&stack, 15);
        pass(1001).await;
        assert_eq!(ended(&late), Some((Ok(()), 6100)));
    })
    .unwrap();
}

#[test]
fn only_the_replica_is_killed_that_is_out_of_memory() {
    simulate(async {
        let two = ServiceSettings { replicas: 2, start_up: ms(5000), ..ServiceSettings::default() };
        let stack = stack(memory(), two);
        // In turn: thirteen to the first, twelve to the second.
        let answers: Vec<Answer> = (0..25).map(|i| send(&stack, i)).collect();
        pass(1001).await;
        let well = answers.iter().filter(|it| matches!(ended(it), Some((Ok(()), 1000)))).count();
        assert_eq!((well, read(&stack).flow(Flow::OomKills)), (12, 1));
        assert_eq!(read(&stack).stock(StockName::Ready).level, 1);
    })
    .unwrap();
}

#[test]
fn nothing_goes_on_during_a_collection_whose_length_goes_by_what_is_in_use() {
    simulate(async {
        // Of 768 KiB that are free half may be used: the sixth call of 64 KiB makes it collect.
        let memory = Memory { collector: collector(0.5, 10, 100), ..memory() };
        let stack = stack(memory, ServiceSettings::default());
        let first = send(&stack, 0);
        pass(900).await;
        let others: Vec<Answer> = (1..6).map(|i| send(&stack, i)).collect();
        // In use are 256 + 6 * 64 KiB: 10 ms + 100 ms * 640 / 1024 = 72.5 ms.
        pass(50).await;
        assert_eq!(read(&stack).flow(Flow::Collections), 1);
        let during = send(&stack, 6);
        pass(10).await;
        assert_eq!(read(&stack).stock(StockName::Inside).level, 6, "who comes meanwhile is not inside");
        pass(2000).await;
        assert_eq!(ended(&first), Some((Ok(()), 1072)));
        assert!(others.iter().all(|it| ended(it) == Some((Ok(()), 1972))));
        assert_eq!(ended(&during), Some((Ok(()), 1972)), "it came in when the collection was over");
        assert_eq!(read(&stack).flow(Flow::CollectingNanos), 72_500_000);
        // Nobody is inside, and all that they held is still there.
        let after = read(&stack);
        let of = |stock| after.stock(stock).level;
        assert_eq!([of(StockName::Memory), of(StockName::Garbage)], [256 + 7 * 64, 7 * 64]);
    })
    .unwrap();
}

#[test]
fn a_collection_computes_on_one_processor_where_processors_are_counted() {
    let cpu = Some(Cpu { requested: 1.0, computing: Share(0.25) });
    for (cpu, computed_ms) in [(cpu, 250 + 110), (None, 0)] {
        simulate(async move {
            // The first call makes it collect: 10 ms, and 100 ms for one MiB in use.
            let memory = Memory {
                limit: kib(2048),
                base: kib(896),
                per_call: kib(128),
                collector: collector(0.1, 10, 100),
                ..memory()
            };
            let stack = stack(memory, ServiceSettings { cpu, ..ServiceSettings::default() });
            let answer = send(&stack, 0);
            pass(2000).await;
            assert_eq!(ended(&answer), Some((Ok(()), 1110)));
            assert_eq!(read(&stack).flow(Flow::CpuNanos), computed_ms * 1_000_000);
        })
        .unwrap();
    }
}

#[test]
fn a_collection_frees_garbage_and_who_is_still_above_the_limit_then_is_killed() {
    simulate(async {
        let memory = Memory { garbage: kib(128), collector: collector(1.0, 100, 0), ..memory() };
        let stack = stack(memory, ServiceSettings { start_up: ms(5000), ..ServiceSettings::default() });
        // 192 KiB each: the fourth makes it collect, at 1024 KiB. Half of that is garbage.
        (0..4).for_each(|i| drop(send(&stack, i)));
        pass(50).await;
        assert_eq!(used(&stack), 1024);
        pass(100).await;
        assert_eq!((used(&stack), read(&stack).flow(Flow::OomKills)), (512, 0));
        // Ten more hold 640 KiB: whatever is collected, that is too much. Each collection frees a little less, and lets
        // in fewer of those at the door: three, two, then one after the other, until more is in use than the limit.
        (4..14).for_each(|i| drop(send(&stack, i)));
        pass(690).await;
        assert_eq!((read(&stack).flow(Flow::Collections), read(&stack).flow(Flow::OomKills)), (8, 0));
        pass(20).await;
        assert_eq!((used(&stack), read(&stack).flow(Flow::OomKills)), (256, 1));
        assert_eq!(read(&stack).flow(Flow::Disconnected), 14);
    })
    .unwrap();
}

#[test]
fn a_replica_that_is_one_too_many_takes_its_memory_with_it_and_so_does_a_stack_that_ends() {
    simulate(async {
        let memory = Memory { collector: collector(0.5, 10, 0), ..memory() };
        let stack = stack(memory, ServiceSettings { replicas: 2, ..ServiceSettings::default() });
        (0..4).for_each(|i| drop(send(&stack, i)));
        pass(10).await;
        stack.scale("api", 1);
        pass(10).await;
        assert_eq!(used(&stack), 2 * 256 + 4 * 64, "it finishes what it has");
        pass(1000).await;
        assert_eq!(used(&stack), 256 + 2 * 64, "the rest is garbage of the one that stays");
        stack.retire();
        assert_eq!((used(&stack), read(&stack).stock(StockName::Garbage).level), (0, 0));
    })
    .unwrap();
}

#[test]
fn a_lever_that_takes_memory_away_kills_and_one_that_takes_the_limit_away_frees_those_who_wait() {
    simulate(async {
        let rules = Memory { collector: collector(1.0, 500, 0), ..memory() };
        let stack = stack(rules, ServiceSettings::default());
        (0..6).for_each(|i| drop(send(&stack, i)));
        pass(10).await;
        let with = |memory| ServiceSettings {
            memory,
            service_time: Some(ServiceTime::Constant(ms(1000))),
            ..ServiceSettings::default()
        };
        stack.set("api", with(Some(Memory { limit: kib(512), ..rules })));
        pass(100).await;
        assert_eq!((read(&stack).flow(Flow::Collections), read(&stack).flow(Flow::OomKills)), (1, 0));
        pass(401).await;
        assert_eq!((read(&stack).flow(Flow::OomKills), used(&stack)), (1, 256));
        let waiting: Vec<Answer> = (6..10).map(|i| send(&stack, i)).collect();
        pass(10).await;
        assert_eq!(read(&stack).flow(Flow::Collections), 2);
        stack.set("api", with(None));
        pass(1001).await;
        assert!(waiting.iter().all(|it| matches!(ended(it), Some((Ok(()), _)))), "{waiting:?}");
        assert_eq!(used(&stack), 0);
    })
    .unwrap();
}

/// What a heap is, done step by step: every piece by itself.
#[derive(Default)]
struct Heap {
    held: Vec<u64>,
    garbage: u64,
    collect_at: u64,
    collections: u64,
}

proptest! {
    /// Against a model that has no time: whoever allocates collects at once.
    #[test]
    fn memory_is_what_a_list_of_pieces_says(
        steps in prop::collection::vec((0_u8..3, 0_usize..40), 1..300),
        (base, per_call, garbage) in (0_u64..300, 1_u64..100, 0_u64..100),
        at in 0.01_f64..=1.0,
    ) {
        let limit = 60 * (per_call + garbage) + base;
        let rules = Memory {
            limit: kib(limit),
            base: kib(base),
            per_call: kib(per_call),
            garbage: kib(garbage),
            // No time that anybody here could see.
            collector: Some(Collector { at: Share(at), pause: Pause { fixed: Dur(Duration::from_nanos(1)), per_mib: ms(0) } }),
        };
        let checked = simulate(async move {
            let meter: Arc<Meter> = Arc::default();
            let it = MemoryState::new(Arc::clone(&meter), Processor::start(1), 1);
            it.changed(Some(&rules));
            let threshold = |live: u64| live + ((limit - live) as f64 * at) as u64;
            let mut heap = Heap { collect_at: threshold(base), ..Heap::default() };
            let mut held = Vec::new();
            for (what, which) in steps {
                match what {
                    0 if held.len() < 50 => {
                        held.push(it.hold(&rules));
                        heap.held.push(per_call);
                    }
                    1 => {
                        it.begin(&rules).await;
                        heap.garbage += garbage;
                    }
                    _ if !held.is_empty() => {
                        drop(held.swap_remove(which % held.len()));
                        heap.garbage += heap.held.pop().unwrap();
                        // Freeing collects nothing.
                        prop_assert_eq!(meter.stock(StockName::Garbage).read(now()).level, heap.garbage);
                        continue;
                    }
                    _ => continue,
                }
                pass(1).await;
                let live = base + heap.held.iter().sum::<u64>();
                if (what == 0 || garbage > 0) && live + heap.garbage >= heap.collect_at {
                    heap.garbage = 0;
                    heap.collections += 1;
                    heap.collect_at = threshold(live);
                }
                let read = meter.read(now());
                prop_assert_eq!(read.stock(StockName::Memory).level, live + heap.garbage);
                prop_assert_eq!(read.stock(StockName::Garbage).level, heap.garbage);
                prop_assert_eq!(read.flow(Flow::Collections), heap.collections);
                for stock in [StockName::Memory, StockName::Garbage] {
                    let account = read.stock(stock);
                    prop_assert_eq!(account.integral, account.sojourns);
                }
            }
            Ok(())
        });
        checked.unwrap()?;
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_would_be_right() {
    let wrong = |memory: Memory| memory.check().first().map(|it| (it.path.clone(), it.message.clone()));
    assert_eq!(wrong(memory()), None);
    for (memory, path, words) in [
        (Memory { limit: kib(300), ..memory() }, "limit", "needs 320KiB"),
        (Memory { per_call: kib(0), ..memory() }, "per_call", "nothing that could fill it"),
        (Memory { garbage: kib(1), ..memory() }, "garbage", "add `collector`"),
        (Memory { collector: collector(0.0, 1, 1), ..memory() }, "collector.at", "1% to 100%"),
        (Memory { collector: collector(1.0, 0, 0), ..memory() }, "collector.pause", "takes time"),
    ] {
        let (at, message) = wrong(memory).unwrap();
        assert!(at == path && message.contains(words), "{at}: {message}");
    }
}
