static class Greeting
{
    public static void Greet(string name)
    {
        System.Console.WriteLine("Hello, " + name + "!");
    }
}
