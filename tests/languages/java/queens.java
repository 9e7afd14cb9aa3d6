import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

record Queen(int row, int column) {
    boolean threatens(Queen other) {
        return column == other.column || Math.abs(column - other.column) == Math.abs(row - other.row);
    }
}

class Board {
    final List<List<Queen>> found = new ArrayList<>();

    void place(List<Queen> queens) {
        if (queens.size() == 8) {
            found.add(List.copyOf(queens));
            return;
        }
        for (int column = 1; column <= 8; column++) {
            var queen = new Queen(queens.size(), column);
            if (queens.stream().anyMatch(queen::threatens)) continue;
            queens.add(queen);
            place(queens);
            queens.remove(queens.size() - 1);
        }
    }

    public static void main(String... arguments) {
        var board = new Board();
        board.place(new ArrayList<>());
        var first = board.found.get(0).stream().map(queen -> "" + queen.column());
        System.out.println(first.collect(Collectors.joining(" ")));
        System.out.println(board.found.size());
    }
}
