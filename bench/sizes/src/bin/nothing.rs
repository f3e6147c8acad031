//! What a program with std and no client is: it prints its argument.

fn main() {
    println!("{:?}", std::env::args().nth(1));
}
