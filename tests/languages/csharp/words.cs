using System;

class Words
{
    static void Main()
    {
        Console.WriteLine(Console.In.ReadToEnd().Split((char[])null, StringSplitOptions.RemoveEmptyEntries).Length);
    }
}
