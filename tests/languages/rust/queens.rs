fn place(queens: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if queens.len() == 8 {
        found.push(queens.clone());
        return;
    }
    for column in 1..=8 {
        let is_free = queens
            .iter()
            .enumerate()
            .all(|(row, other)| *other != column && other.abs_diff(column) != queens.len() - row);
        if is_free {
            queens.push(column);
            place(queens, found);
            queens.pop();
        }
    }
}

fn main() {
    let mut found = vec![];
    place(&mut vec![], &mut found);
    let first: Vec<String> = found[0].iter().map(ToString::to_string).collect();
    println!("{}\n{}", first.join(" "), found.len());
}
