// A Rust program whose types, holders and cycles are known. Says "ready"; at a line of input makes
// them, and says "made"; at the next one ends.
//
//     500 pairs of a Node that hold each other by Rc: lost
//     100 Circle, and 100 Square, each behind a Box<dyn Shape> in a vector of a thread's
// build: -C debuginfo=1 -C opt-level=1
use std::cell::RefCell;
use std::io::{stdin, stdout, Write};
use std::rc::Rc;

struct Node {
    name: [u64; 5],
    peer: RefCell<Option<Rc<Node>>>,
}

trait Shape {
    fn area(&self) -> u64;
}

struct Circle {
    numbers: [u64; 4],
    name: String,
}

struct Square {
    numbers: [u64; 9],
    name: String,
}

impl Shape for Circle {
    fn area(&self) -> u64 {
        self.numbers[0] + self.name.len() as u64
    }
}

impl Shape for Square {
    fn area(&self) -> u64 {
        self.numbers[1] + self.name.len() as u64
    }
}

#[inline(never)]
fn make_node(number: u64) -> Rc<Node> {
    Rc::new(Node { name: [number; 5], peer: RefCell::new(None) })
}

#[inline(never)]
fn make_pair(number: u64) -> u64 {
    let one = make_node(number);
    let other = make_node(number);
    *one.peer.borrow_mut() = Some(other.clone());
    *other.peer.borrow_mut() = Some(one.clone());
    one.name[0] + other.name[1]
}

#[inline(never)]
fn make_circle(number: u64) -> Box<dyn Shape> {
    Box::new(Circle { numbers: [number; 4], name: String::new() })
}

#[inline(never)]
fn make_square(number: u64) -> Box<dyn Shape> {
    Box::new(Square { numbers: [number; 9], name: String::new() })
}

// What the calls above have left behind on the stack is written over.
#[inline(never)]
fn clean_stack() -> u64 {
    let mut below = [0u64; 8192];
    for word in below.iter_mut() {
        unsafe { std::ptr::write_volatile(word, 0) };
    }
    below[17]
}

fn say(word: &str) {
    println!("{}", word);
    stdout().flush().unwrap();
}

fn wait() {
    let mut line = String::new();
    stdin().read_line(&mut line).unwrap();
}

fn main() {
    let mut shapes: Vec<Box<dyn Shape>> = Vec::with_capacity(200);
    let mut sum = 0;
    say("ready");
    wait();
    for i in 0..500 {
        sum += make_pair(i);
    }
    for i in 0..100 {
        shapes.push(make_circle(i));
    }
    for i in 0..100 {
        shapes.push(make_square(i));
    }
    sum += clean_stack();
    say("made");
    wait();
    sum += shapes.iter().map(|shape| shape.area()).sum::<u64>();
    say(&sum.to_string());
}
