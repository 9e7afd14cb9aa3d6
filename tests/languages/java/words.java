import java.util.Scanner;

interface Words {
    static void main(String[] arguments) {
        System.out.println(new Scanner(System.in).tokens().count());
    }
}
