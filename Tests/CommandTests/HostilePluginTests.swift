import BridgeCore
import Foundation
import TestSupport
import Testing

/// Plugins whose code ends, stops or delays the process that loads them: one sentence each, and exit status 1.
@Suite struct HostilePluginTests {
    private static func source(constructor: String = "", abi: String = "", make: String = "return 0;") -> String {
        """
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <unistd.h>
        #include <bridge_plugin.h>
        static const bridge_plugin_descriptor descriptor = {
            1u, sizeof(bridge_plugin_descriptor), "\(PluginLoader.coreBuild)", "\(PluginLoader.compiler)", "tiny", "1"
        };
        __attribute__((constructor)) static void begin(void) { \(constructor) }
        const bridge_plugin_descriptor *bridge_plugin_abi(void) { \(abi) return &descriptor; }
        void *bridge_plugin_make(void) { \(make) }
        """
    }

    static let hostile: [(source: String, words: [String])] = [
        (
            source(constructor: "exit(0);"),
            ["ended the process with status 0 while it was loaded", "must not call exit"]
        ),
        (source(constructor: "_exit(3);"), ["ended the process with status 3"]),
        (source(constructor: "quick_exit(4);"), ["ended the process with status 4"]),
        (source(constructor: "abort();"), ["stopped the process with signal 6 while it was loaded"]),
        (source(constructor: "raise(SIGSEGV);"), ["stopped the process with signal 11"]),
        (source(constructor: "kill(getpid(), SIGKILL);"), ["stopped the process with signal 9"]),
        (source(abi: "exit(0);"), ["ended the process with status 0"]),
        (source(make: "exit(0);"), ["ended the process with status 0"]),
        // What it makes is not a plugin.
        (source(make: "return (void *)8;"), ["stopped the process with signal 11"]),
        (source(make: "static long zeros[64]; return zeros;"), ["stopped the process with signal"]),
        (source(constructor: "for (;;) pause();"), ["did not finish loading within 10 seconds"]),
        // And one that only misleads a reader of the output.
        (source(constructor: "puts(\"all is well\");"), ["bridge_plugin_make returned nothing"]),
    ]

    @Test(arguments: hostile.indices) func isAnErrorOfOneSentence(_ index: Int) throws {
        let scratch = try TemporaryDirectory()
        let (source, words) = Self.hostile[index]
        let path = try PluginTests.compile(source, to: scratch.url("libTinyPlugin.so"))
        let outcome = try BridgeProcess.run("models", "--plugin", path)
        expect(outcome, failsWith: 1, mentioning: path)
        for word in words { #expect(outcome.sentence.contains(word), "\(outcome.errors) lacks \(word)") }
    }

    @Test func inASearchDirectoryItIsAWarningAndTheOthersAreLoaded() throws {
        let scratch = try TemporaryDirectory()
        let path = try PluginTests.compile(Self.source(constructor: "exit(0);"), to: scratch.url("libTinyPlugin.so"))
        let variables = ["BRIDGE_PLUGIN_PATH": scratch.path]
        let outcome = try BridgeProcess.run("models", environment: variables)
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("warning: \(path) ended the process with status 0"), "\(outcome.errors)")
        #expect(outcome.output.contains("MistralForCausalLM"))
        // One that hangs is named within the time of the check, and so is the other.
        let hanging = try PluginTests.compile(
            Self.source(constructor: "for (;;) pause();"),
            to: scratch.url("libHangingPlugin.so")
        )
        let checkup = try BridgeProcess.run("doctor", environment: variables)
        let line = checkup.output.split(separator: "\n").first { $0.contains(" plugins ") } ?? ""
        #expect(line.contains("\(hanging) did not finish loading within 1."), "\(checkup)")
        #expect(line.contains("\(path) cannot be loaded either"), "\(checkup)")
        try FileManager.default.removeItem(atPath: hanging)
        let doctor = try BridgeProcess.run("plugins", "doctor", environment: variables)
        expect(doctor, failsWith: 1, mentioning: "1 of 4 plugins")
        let test = try BridgeProcess.run("plugins", "test", path)
        expect(test, failsWith: 1, mentioning: "ended the process with status 0")
    }
}
