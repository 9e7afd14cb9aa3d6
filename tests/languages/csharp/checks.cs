using System;
using System.Diagnostics;
using System.Linq;
using System.Threading;

static class Checks
{
    static void Fail()
    {
        throw new InvalidOperationException("no such luck"); // HERE
    }

    static int Main(string[] arguments)
    {
        string line;
        switch (arguments[0])
        {
            case "hello": Console.WriteLine("Hello, World!"); break;
            case "stderr": Console.Error.WriteLine("oops"); break;
            case "exit": return 3;
            case "echo":
                while ((line = Console.ReadLine()) != null) Console.WriteLine(line);
                break;
            case "error": Fail(); break;
            case "process":
                var info = new ProcessStartInfo("echo", "process") { UseShellExecute = false };
                Process.Start(info).WaitForExit();
                break;
            case "threads":
                var total = 0;
                var threads = Enumerable.Range(1, 4).Select(n => new Thread(() => Interlocked.Add(ref total, n))).ToList();
                threads.ForEach(thread => thread.Start());
                threads.ForEach(thread => thread.Join());
                Console.WriteLine(total);
                break;
            case "lines":
                for (int n = 1; n <= 100000; n++) Console.WriteLine(n);
                break;
            case "live":
                Console.WriteLine("live");
                Thread.Sleep(60000);
                break;
            case "prompt":
                Console.Write("name? ");
                Console.WriteLine("hello " + Console.ReadLine());
                break;
        }
        return 0;
    }
}
