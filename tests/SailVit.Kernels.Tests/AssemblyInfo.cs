// Tests share torch's random generator and its threads: side by side they would neither repeat nor be faster.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
