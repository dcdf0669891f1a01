using System.Diagnostics;
using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;

namespace SailVit.Kernels.Tests.Interop;

public sealed class LibTorchLoaderTests : IDisposable
{
    private const string Error = "version `GLIBCXX_3.4.32' not found";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("sailvit-test-");

    public void Dispose() => _folder.Delete(recursive: true);

    private string Folder(string name) => Path.Combine(_folder.FullName, name);

    [Fact]
    public void Info_SaysWhatIsLoaded()
    {
        var info = LibTorch.Info;
        Assert.Same(info, LibTorch.Info);
        Assert.True(Directory.Exists(info.Folder));
        Assert.True(File.Exists(info.TorchSharpLibrary));
        Assert.Equal(info.Patched, Path.GetFileName(info.TorchSharpLibrary) != Path.GetFileName(ElfVersionPatchTests.OriginalLibrary));
        Assert.False(info.HasCuda);
        // The one that Directory.Packages.props pins.
        Assert.Equal(new Version(2, 10, 0), LibTorch.Version);
    }

    [Fact]
    public void ForcedFolder_MustHoldEveryLibrary()
    {
        foreach (var name in new[] { "c10", "torch_cpu", "torch" })
        {
            var file = LibTorchLoader.Library(name);
            var e = Assert.Throws<LibTorchException>(() => LibTorchLoader.FindLibTorch(_folder.FullName, []));
            Assert.Contains($"{LibTorch.FolderVariable}={_folder.FullName} holds no {file}", e.Message, StringComparison.Ordinal);
            File.WriteAllText(Folder(file), "");
        }
        Assert.Equal((_folder.FullName, LibTorch.FolderVariable), LibTorchLoader.FindLibTorch(_folder.FullName, []));
    }

    [Fact]
    public void NoLibTorch_NamesFoldersAndPackage()
    {
        var e = Assert.Throws<LibTorchException>(() => LibTorchLoader.FindLibTorch(null, [_folder.FullName]));
        Assert.Contains(_folder.FullName, e.Message, StringComparison.Ordinal);
        Assert.Contains("libtorch-cpu-", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ReadOnlyFolder_FallsBackToTheNext()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the adapted copy is made on Linux only");
        // A path through a file takes no folder, not even from root.
        File.WriteAllText(Folder("file"), "");
        var copy = PatchedLibrary.Load(ElfVersionPatchTests.OriginalLibrary, Error, [Folder("file/native"), Folder("cache/native")]);
        Assert.Equal(Folder("cache/native"), Path.GetDirectoryName(copy));
        Assert.Single(Directory.GetFiles(Folder("cache/native")));
    }

    [Fact]
    public void NoWritableFolder_LoadsFromATemporaryOne()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the adapted copy is made on Linux only");
        File.WriteAllText(Folder("file"), "");
        var copy = PatchedLibrary.Load(ElfVersionPatchTests.OriginalLibrary, Error, [Folder("file/native")]);
        Assert.False(File.Exists(copy));
    }

    [Fact]
    public void ALibraryThatCannotBeCured_IsReported()
    {
        var library = Folder("libLibTorchSharp.so");
        File.WriteAllText(library, "not a library");
        var e = Assert.Throws<LibTorchException>(() => PatchedLibrary.Load(library, Error, [_folder.FullName]));
        Assert.Contains("Install a newer libstdc++6", e.Message, StringComparison.Ordinal);
        Assert.Single(_folder.GetFiles());
    }

    [Fact]
    public void CacheFolder_IsTheUsersOwn()
    {
        var folders = PatchedLibrary.CacheFolders("/opt/app/libLibTorchSharp.so").ToList();
        Assert.Equal("/opt/app", folders[0]);
        Assert.All(folders, f => Assert.True(Path.IsPathRooted(f)));
        Assert.Contains(folders, f => f.EndsWith(Path.Combine("sailvit", "native"), StringComparison.Ordinal));
    }

    [Fact]
    public void TryWrite_ReplacesADifferentFileAndLeavesNothingElse()
    {
        var path = Folder("copy.so");
        File.WriteAllText(path, "an interrupted write");
        Assert.True(UserCache.TryWrite(path, [1, 2, 3], out _));
        Assert.Equal([1, 2, 3], File.ReadAllBytes(path));
        Assert.Single(_folder.GetFiles());
    }

    [Fact]
    public async Task EightProcesses_WriteOneCopy()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the adapted copy is made on Linux only");
        var children = Enumerable.Range(0, 8).Select(_ => LibTorchProbe.Start(("SAILVIT_PROBE_CACHE", Folder("cache")))).ToList();
        var copies = await Task.WhenAll(children);
        Assert.All(copies, copy => Assert.Equal(copies[0], copy));
        Assert.Equal(copies[0], Assert.Single(Directory.GetFiles(Folder("cache"))));
    }

    [Fact]
    public async Task AWrongForcedFolder_FailsEveryOpWithTheMissingFile()
    {
        var answer = await LibTorchProbe.Start((LibTorch.FolderVariable, _folder.FullName));
        Assert.Contains($"{LibTorch.FolderVariable}={_folder.FullName} holds no {LibTorchLoader.Library("c10")}", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AForcedFolder_IsUsed()
    {
        // The packaged libtorch under another path: the loader must take this one.
        var elsewhere = Folder("elsewhere");
        Directory.CreateSymbolicLink(elsewhere, LibTorch.Info.Folder);
        Assert.Equal($"{elsewhere} by {LibTorch.FolderVariable}: 3", await LibTorchProbe.Start((LibTorch.FolderVariable, elsewhere)));
    }

    [Fact]
    public async Task WithoutHome_TheLibraryStillLoads()
    {
        var answer = await LibTorchProbe.Start(("HOME", ""), ("XDG_CACHE_HOME", ""));
        Assert.EndsWith(": 3", answer, StringComparison.Ordinal);
    }
}

/// <summary>What a process of its own says about loading: this test executable, told to run one method that is else never run.</summary>
public sealed class LibTorchProbe
{
    private const string AnswerVariable = "SAILVIT_PROBE_ANSWER";

    public static async Task<string> Start(params (string Name, string Value)[] environment)
    {
        var answer = Path.GetTempFileName();
        try
        {
            var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
            // Under `dotnet test` the process is the executable too; under a debugger it may be the host.
            if (Path.GetFileNameWithoutExtension(start.FileName) == "dotnet")
            {
                start.ArgumentList.Add(typeof(LibTorchProbe).Assembly.Location);
            }
            foreach (var argument in new[] { "-explicit", "only", "-method", $"{typeof(LibTorchProbe).FullName}.{nameof(Answer)}" })
            {
                start.ArgumentList.Add(argument);
            }
            start.Environment[AnswerVariable] = answer;
            foreach (var (name, value) in environment)
            {
                start.Environment[name] = value;
            }
            using var process = Process.Start(start)!;
            var output = process.StandardOutput.ReadToEndAsync();
            var errors = process.StandardError.ReadToEndAsync();
            await process.WaitForExitAsync();
            var text = await File.ReadAllTextAsync(answer);
            return text.Length > 0 ? text : $"exit code {process.ExitCode}: {await output} {await errors}";
        }
        finally
        {
            File.Delete(answer);
        }
    }

    [Fact(Explicit = true)]
    public void Answer() => File.WriteAllText(Environment.GetEnvironmentVariable(AnswerVariable)!, Describe());

    private static string Describe()
    {
        if (Environment.GetEnvironmentVariable("SAILVIT_PROBE_CACHE") is { } cache)
        {
            return PatchedLibrary.Load(ElfVersionPatchTests.OriginalLibrary, "version `GLIBCXX_3.4.32' not found", [cache]);
        }
        try
        {
            // A torch op first, as applications do, then one of ours.
            using var x = torch.ones(3);
            using var y = functional.rms_norm(x, [3]);
            return $"{LibTorch.Info.Folder} by {LibTorch.Info.Source}: {Math.Round(y.sum().item<float>())}";
        }
        catch (Exception e)
        {
            return e.ToString();
        }
    }
}
