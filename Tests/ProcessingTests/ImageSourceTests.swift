import BridgeCore
import Foundation
import Imaging
import Synchronization
import TestSupport
import Testing

/// Images come from files, addresses and data URLs, within limits.
@Suite struct ImageSourceTests {
    private static let image = "\(Fixtures.root)/images/rgba.png"

    private static func bytes() throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: image))) }

    private func failure(_ source: ImageSource, limits: ImageLimits = .standard) -> String {
        do {
            _ = try source.load(limits: limits)
            return "nothing was wrong"
        } catch {
            return "\(error)"
        }
    }

    @Test func everyWayGivesTheSamePixels() throws {
        let bytes = try Self.bytes()
        let expected = try Image(decoding: bytes).withoutAlpha
        let server = try TinyServer { _ in .init(body: bytes) }
        defer { server.stop() }
        let base64 = Data(bytes).base64EncodedString(options: .lineLength64Characters)
        for text in [Self.image, server.url("a.png"), "data:image/png;base64,\(base64)", "DATA:;BASE64,\(base64)"] {
            #expect(try ImageSource(text).load() == expected, "\(text.prefix(40))")
        }
        #expect(try ImageSource(base64: base64, name: "x").load() == expected)
    }

    /// transformers' Pillow processors put an image object on white; `load_image` drops the alpha of a file.
    @Test func alphaOfAnImageInMemoryGoesOntoWhite() throws {
        let image = try Image(decoding: Self.bytes())
        #expect(try ImageSource.image(image).load() == image.compositedOnWhite)
        #expect(image.compositedOnWhite != image.withoutAlpha)
    }

    @Test func aFileWithoutAnImageIsRefused() throws {
        let scratch = try TemporaryDirectory()
        let path = try scratch.write(Array("GIF88a and so on".utf8), to: "a.gif")
        #expect(failure(.file(path)).contains("none of PNG, JPEG, WebP, GIF, BMP, TIFF"))
        #expect(failure(.file(scratch.path("none.png"))).contains("it does not exist"))
        #expect(failure(.file(scratch.path)).contains("not a regular file"))
        #expect(failure(.file("/dev/zero")).contains("not a regular file"))
        #expect(
            failure(.file(Self.image), limits: .init(bytes: 100, side: 100, pixels: 10000)).contains(
                "more than the 100"
            )
        )
    }

    @Test func whatAServerDoesWrongIsOneSentence() throws {
        let bytes = try Self.bytes()
        let server = try TinyServer { path in
            switch path {
            case "/large": .init(body: bytes)
            case "/endless": .init(body: bytes, announced: nil, repeats: 1000)
            case "/short": .init(body: bytes, announced: bytes.count + 50)
            case "/moved": .init(status: "302 Found", headers: ["Location: /a.png"])
            case "/round": .init(status: "302 Found", headers: ["Location: /round"])
            case "/file": .init(status: "302 Found", headers: ["Location: file:///etc/passwd"])
            case "/a.png": .init(body: bytes)
            default: .init(status: "404 Not Found", body: Array("no".utf8))
            }
        }
        defer { server.stop() }
        let limits = ImageLimits(bytes: bytes.count - 1, side: 100, pixels: 10000)
        func message(_ name: String, limits: ImageLimits = .standard) -> String {
            let text = failure(.url(server.url(name)), limits: limits)
            #expect(text.contains(server.url(name)) && !text.contains("\n"), "\(text)")
            return text
        }
        #expect(message("none").contains("status 404"))
        #expect(message("large", limits: limits).contains("at most \(limits.bytes)"))
        #expect(message("endless", limits: limits).contains("more than the \(limits.bytes)"))
        #expect(message("short").contains("cannot be fetched"))
        #expect(message("round").contains("cannot be fetched"))
        #expect(message("file").contains("cannot be fetched"))
        #expect(try ImageSource(server.url("moved")).load() == Image(decoding: bytes).withoutAlpha)
        #expect(failure(.url("http://127.0.0.1:1/a.png")).contains("cannot be fetched"))
        #expect(failure(.url("http://")).contains("not an http:// or https:// address"))
    }

    /// The targets are those of Python's urllib.parse.urljoin.
    @Test(
        arguments: [
            ("/login?next=https://x.org/y", "/login?next=https://x.org/y"), ("?x=1", "/a/b/c?x=1"), ("../x", "/a/x"),
            ("./x", "/a/b/x"), ("x/y?z=://", "/a/b/x/y?z=://"), ("../../../x", "/x"), ("/x//y", "/x//y"),
            ("/x y", "/x%20y"),
            ("//HOST/z#part", "/z"), ("HTTP://HOST/q", "/q"),
        ]
    ) func aRedirectMayBeAnyReference(_ location: String, _ target: String) throws {
        let bytes = try Self.bytes()
        let seen = Mutex<[String]>([])
        let host = Mutex("")
        let server = try TinyServer { path in
            seen.withLock { $0.append(path) }
            let place = location.replacing("HOST", with: host.withLock { $0 })
            return path == "/a/b/c?d" ? .init(status: "302 Found", headers: ["Location: \(place)"]) : .init(body: bytes)
        }
        defer { server.stop() }
        host.withLock { $0 = String(server.url("").dropFirst("http://".count).dropLast()) }
        #expect(try ImageSource(server.url("a/b/c?d")).load() == Image(decoding: bytes).withoutAlpha)
        #expect(seen.withLock { $0 } == ["/a/b/c?d", target])
    }

    @Test func aServerThatDoesNotRespondIsCancelled() throws {
        let cancellation = Cancellation()
        let server = try TinyServer { _ in
            cancellation.cancel()
            return nil
        }
        defer { server.stop() }
        let error = #expect(throws: BridgeError.self) {
            _ = try ImageSource.url(server.url("a.png")).load(cancellation: cancellation)
        }
        #expect(error?.code == .cancelled)
    }
}
