fn main() {
    let number: u32 = "never"; // HERE
    println!("{number}");
}
