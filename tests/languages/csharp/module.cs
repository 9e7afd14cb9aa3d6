static class Program
{
    static void Main()
    {
        Greeting.Greet("module");
    }
}
