mod greeting;

fn main() {
    greeting::greet("module");
}
