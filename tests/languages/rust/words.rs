use std::io::read_to_string;

fn main() {
    println!("{}", read_to_string(std::io::stdin()).unwrap().split_whitespace().count());
}
