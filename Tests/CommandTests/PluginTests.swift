import BridgeCore
import Foundation
import TestSupport
import Testing

/// Plugins that cannot be used: one sentence each, before any of their Swift is touched.
@Suite struct PluginTests {
    /// The parts of a descriptor, as C.
    struct Descriptor {
        var abi = "1u"
        var size = "sizeof(bridge_plugin_descriptor)"
        var build = "\"\(PluginLoader.coreBuild)\""
        var compiler = "\"\(PluginLoader.compiler)\""
        var make = "void *bridge_plugin_make(void) { return 0; }"

        var source: String {
            """
            #include <bridge_plugin.h>
            static const bridge_plugin_descriptor descriptor = {\(abi), \(size), \(build), \(compiler), "tiny", "1"};
            const bridge_plugin_descriptor *bridge_plugin_abi(void) { return &descriptor; }
            \(make)
            """
        }
    }

    /// Compiles a shared library from C.
    static func compile(_ source: String, to url: URL) throws -> String {
        let file = url.deletingPathExtension().appendingPathExtension("c")
        try Data(source.utf8).write(to: file)
        let headers = "\(Fixtures.repository)/Sources/BridgeCore/CPluginABI/include"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["clang", "-shared", "-fPIC", "-I", headers, "-o", url.path, file.path]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return url.path
    }

    private static func models(with plugin: String, environment: [String: String] = [:]) throws -> BridgeProcess.Outcome
    {
        try BridgeProcess.run("models", "--plugin", plugin, environment: environment)
    }

    private static func realPlugin(_ name: String = "Mistral") -> URL {
        BridgeProcess.buildDirectory.appendingPathComponent("lib\(name)Plugin.so")
    }

    /// Descriptors that do not fit, with what the sentence must say.
    static let misfits: [(Descriptor, [String])] = [
        (Descriptor(abi: "0u"), ["plugin ABI 0, this Bridge has 1", "rebuild the plugin"]),
        (Descriptor(abi: "2u"), ["plugin ABI 2, this Bridge has 1", "use a newer Bridge"]),
        (Descriptor(size: "8"), ["descriptor of 8 bytes", "rebuild the plugin"]),
        (Descriptor(compiler: "\"Clang 3.0\""), ["Clang 3.0", PluginLoader.compiler, "the same Swift"]),
        (Descriptor(build: "\"0.0.1+old\""), ["0.0.1+old", PluginLoader.coreBuild, "rebuild the plugin"]),
        (Descriptor(build: "0"), ["(nothing)", "rebuild the plugin"]),
        (Descriptor(make: ""), ["does not export bridge_plugin_make", "AddAModel"]),
        (Descriptor(), ["bridge_plugin_make returned nothing"]),
    ]

    @Test(arguments: misfits.indices) func anIncompatiblePluginNamesTheSideToRebuild(_ index: Int) throws {
        let scratch = try TemporaryDirectory()
        let (descriptor, words) = Self.misfits[index]
        let path = try Self.compile(descriptor.source, to: scratch.url("libTinyPlugin.so"))
        let outcome = try Self.models(with: path)
        expect(outcome, failsWith: 1, mentioning: path)
        for word in words { #expect(outcome.sentence.contains(word), "\(outcome.errors) lacks \(word)") }
    }

    @Test func aLibraryWithoutAPluginIsNamed() throws {
        let scratch = try TemporaryDirectory()
        let path = try Self.compile("int nothing(void) { return 0; }", to: scratch.url("libTinyPlugin.so"))
        expect(try Self.models(with: path), failsWith: 1, mentioning: path, "does not export bridge_plugin_abi")
    }

    @Test func aLibraryThatNeedsAnotherCoreIsNamed() throws {
        let scratch = try TemporaryDirectory()
        let path = try Self.compile(
            "extern int no_such_function_of_the_core(void); int use(void) { return no_such_function_of_the_core(); }",
            to: scratch.url("libTinyPlugin.so")
        )
        expect(
            try Self.models(with: path),
            failsWith: 1,
            mentioning: path,
            "rebuild the plugin",
            "no_such_function_of_the_core"
        )
    }

    @Test(arguments: ["", "not a library", "\u{7F}ELF"]) func aFileWithoutALibraryIsNamed(_ text: String) throws {
        let scratch = try TemporaryDirectory()
        try Data(text.utf8).write(to: scratch.url("libTinyPlugin.so"))
        let path = scratch.path("libTinyPlugin.so")
        expect(try Self.models(with: path), failsWith: 1, mentioning: path, "not a shared library")
    }

    /// The system's loader maps such a file and dies with SIGBUS.
    @Test(arguments: [100, 4000, 20_000, 60_000]) func aPluginThatWasCutShortIsNamed(_ bytes: Int) throws {
        let scratch = try TemporaryDirectory()
        try Data(contentsOf: Self.realPlugin()).prefix(bytes).write(to: scratch.url("libCutPlugin.so"))
        let path = scratch.path("libCutPlugin.so")
        expect(try Self.models(with: path), failsWith: 1, mentioning: path, "truncated")
    }

    @Test func aMissingPluginIsNamed() throws {
        expect(
            try Self.models(with: "/nowhere/libTinyPlugin.so"),
            failsWith: 1,
            mentioning: "there is no plugin at /nowhere"
        )
    }

    @Test(arguments: [true, false]) func twoPluginsForOneArchitectureNameBothFiles(_ isLink: Bool) throws {
        let scratch = try TemporaryDirectory()
        let copy = scratch.url("libCopyPlugin.so")
        if isLink {
            try FileManager.default.createSymbolicLink(at: copy, withDestinationURL: Self.realPlugin())
        } else {
            try FileManager.default.copyItem(at: Self.realPlugin(), to: copy)
        }
        expect(
            try Self.models(with: copy.path),
            failsWith: 1,
            mentioning: copy.path,
            "libMistralPlugin.so",
            "MistralForCausalLM",
            "remove one"
        )
    }

    @Test func theSamePluginFoundTwiceIsOne() throws {
        #expect(try Self.models(with: Self.realPlugin().path).status == 0)
    }

    @Test func aDirectoryThatOthersMayWriteToIsRefused() throws {
        let scratch = try TemporaryDirectory()
        let copy = scratch.url("libMistralPlugin.so")
        try FileManager.default.copyItem(at: Self.realPlugin(), to: copy)
        chmod(scratch.path, 0o757)
        expect(
            try Self.models(with: copy.path),
            failsWith: 1,
            mentioning: copy.path,
            "other users may write to the directory",
            "chmod go-w \(scratch.path)"
        )
        chmod(scratch.path, 0o755)
        // Nor may the directory be hidden behind a link.
        let open = scratch.url("open")
        try FileManager.default.createDirectory(at: open, withIntermediateDirectories: false)
        try FileManager.default.moveItem(at: copy, to: open.appendingPathComponent("libMistralPlugin.so"))
        chmod(open.path, 0o777)
        try FileManager.default.createSymbolicLink(atPath: copy.path, withDestinationPath: "open/libMistralPlugin.so")
        expect(try Self.models(with: copy.path), failsWith: 1, mentioning: "chmod go-w \(open.path)")
    }

    @Test func aParentDirectoryThatOthersMayWriteToIsRefused() throws {
        let scratch = try TemporaryDirectory()
        let inner = scratch.url("open/mine/inner")
        try FileManager.default.createDirectory(at: inner, withIntermediateDirectories: true)
        let path = try Self.compile("int nothing(void) { return 0; }", to: inner.appendingPathComponent("libTiny.so"))
        let isLoaded = "does not export bridge_plugin_abi"
        expect(try Self.models(with: path), failsWith: 1, mentioning: isLoaded)
        for mode in [mode_t(0o777), 0o775, 0o757] {
            chmod(scratch.path("open"), mode)
            expect(try Self.models(with: path), failsWith: 1, mentioning: path, "chmod go-w \(scratch.path("open"))")
        }
        // With the sticky bit others may not rename what is in it.
        chmod(scratch.path("open"), 0o1777)
        expect(try Self.models(with: path), failsWith: 1, mentioning: isLoaded)
    }

    @Test func aLinkInTheMiddleThatOthersMayReplaceIsRefused() throws {
        let scratch = try TemporaryDirectory()
        for name in ["mine", "open"] {
            try FileManager.default.createDirectory(at: scratch.url(name), withIntermediateDirectories: false)
        }
        _ = try Self.compile("int nothing(void) { return 0; }", to: scratch.url("mine/libTiny.so"))
        // start.so leads to open/middle and that to mine/libTiny.so; and one directory is behind a link.
        func link(_ name: String, _ target: String) throws {
            try FileManager.default.createSymbolicLink(atPath: scratch.path(name), withDestinationPath: target)
        }
        try link("open/middle", "../mine/libTiny.so")
        try link("start.so", "open/middle")
        try link("open/folder", "../mine")
        for place in [scratch.path("start.so"), scratch.path("open/folder/libTiny.so")] {
            chmod(scratch.path("open"), 0o755)
            expect(try Self.models(with: place), failsWith: 1, mentioning: "does not export bridge_plugin_abi")
            chmod(scratch.path("open"), 0o777)
            expect(try Self.models(with: place), failsWith: 1, mentioning: place, "chmod go-w \(scratch.path("open"))")
        }
    }

    @Test func linksWithoutAnEndAreNamed() throws {
        let scratch = try TemporaryDirectory()
        try FileManager.default.createSymbolicLink(atPath: scratch.path("a.so"), withDestinationPath: "b.so")
        try FileManager.default.createSymbolicLink(atPath: scratch.path("b.so"), withDestinationPath: "a.so")
        expect(try Self.models(with: scratch.path("a.so")), failsWith: 1, mentioning: "there is no plugin at")
    }

    @Test func theSameNameInTwoDirectoriesIsTwoLibraries() throws {
        let scratch = try TemporaryDirectory()
        var paths: [String] = []
        for (directory, source) in [("a", Descriptor(abi: "7u").source), ("b", "int nothing(void) { return 0; }")] {
            try FileManager.default.createDirectory(at: scratch.url(directory), withIntermediateDirectories: false)
            paths.append(try Self.compile(source, to: scratch.url("\(directory)/libTinyPlugin.so")))
        }
        let variables = ["BRIDGE_PLUGIN_PATH": "\(scratch.path("a")):\(scratch.path("b"))"]
        let errors = try BridgeProcess.run("models", environment: variables).errors
        #expect(errors.contains("\(paths[0]) has plugin ABI 7"), "\(errors)")
        #expect(errors.contains("\(paths[1]) does not export bridge_plugin_abi"), "\(errors)")
    }

    @Test(arguments: [mode_t(0o757), 0o775, 0o1757]) func aFileThatOthersMayWriteToIsRefused(_ mode: mode_t) throws {
        let scratch = try TemporaryDirectory()
        let copy = scratch.url("libMistralPlugin.so")
        try FileManager.default.copyItem(at: Self.realPlugin(), to: copy)
        chmod(copy.path, mode)
        expect(
            try Self.models(with: copy.path),
            failsWith: 1,
            mentioning: "other users may write to the file",
            "chmod go-w \(copy.path)"
        )
    }

    @Test func aBrokenPluginInASearchDirectoryIsAWarning() throws {
        let scratch = try TemporaryDirectory()
        try Data("no".utf8).write(to: scratch.url("libTinyPlugin.so"))
        let outcome = try BridgeProcess.run("models", environment: ["BRIDGE_PLUGIN_PATH": scratch.path])
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("warning: \(scratch.path("libTinyPlugin.so")) is not a shared library"))
        let doctor = try BridgeProcess.run("plugins", "doctor", environment: ["BRIDGE_PLUGIN_PATH": scratch.path])
        expect(doctor, failsWith: 1, mentioning: "1 of 4 plugins")
    }
}
