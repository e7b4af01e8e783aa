// Deep Rust stacks: generics, closures, trait objects, collections, formatting, threads, and
// panics that are caught: stacks_rust [ROUNDS].
// build: -C debuginfo=1
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::rc::Rc;

trait Node {
    fn grow(&self, levels: u32) -> Box<dyn Node>;
    fn weight(&self) -> usize;
}

struct Leaf(String);
struct Branch(Vec<Box<dyn Node>>);

impl Node for Leaf {
    fn grow(&self, levels: u32) -> Box<dyn Node> {
        if levels == 0 {
            Box::new(Leaf(self.0.clone() + "."))
        } else {
            Branch(Vec::new()).grow(levels)
        }
    }
    fn weight(&self) -> usize {
        self.0.len()
    }
}

impl Node for Branch {
    fn grow(&self, levels: u32) -> Box<dyn Node> {
        let leaf = Leaf("leaf".to_string());
        Box::new(Branch((0..2).map(|_| leaf.grow(levels - 1)).collect()))
    }
    fn weight(&self) -> usize {
        self.0.iter().map(|node| node.weight()).sum()
    }
}

#[inline(never)]
fn descend<T: Clone + Into<String>>(level: u32, seed: T) -> usize {
    let text: Rc<str> = Rc::from(seed.clone().into());
    let below = if level > 0 { descend(level - 1, seed) } else { 0 };
    below + text.len()
}

#[inline(never)]
fn panics(level: u32) -> usize {
    let held = vec![level; 20];
    if level == 0 {
        panic!("caught above, {} deep", held.len());
    }
    panics(level - 1) + held.len()
}

fn one_round(round: usize) -> usize {
    let mut map = HashMap::new();
    let mut sorted = BTreeMap::new();
    for i in 0..20 {
        map.insert(format!("key {}", i), vec![i; i]);
        sorted.insert(i * round % 17, format!("{:>30}", i));
    }
    let mut text = String::new();
    for (key, value) in &map {
        write!(text, "{}={:?};", key, value).unwrap();
    }
    let mut words: Vec<String> = text.split(';').map(|word| word.to_uppercase()).collect();
    words.sort_by_key(|word| word.clone());
    let caught = if round % 50 == 0 {
        std::panic::catch_unwind(|| panics(5)).is_err() as usize
    } else {
        0
    };
    let grown = Leaf("seed".to_string()).grow(5);
    words.len() + sorted.len() + descend(20, "some seed") + caught + grown.weight()
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(20000, |n| n.parse().unwrap());
    std::panic::set_hook(Box::new(|_| {}));
    let threads: Vec<_> = (0..2)
        .map(|_| std::thread::spawn(move || (0..rounds).map(one_round).sum::<usize>()))
        .collect();
    let sum: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    println!("{}", sum);
}
