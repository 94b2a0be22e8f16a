import Foundation
import Glibc

/// A server of HTTP on this machine that answers one request after the other.
final class TinyServer: Sendable {
    /// An answer; `announced` is the length that it claims, nil for none.
    struct Answer {
        var status = "200 OK"
        var headers: [String] = []
        var body: [UInt8] = []
        var announced: Int?
        var repeats = 1

        init(status: String = "200 OK", headers: [String] = [], body: [UInt8] = []) {
            self.init(body: body, announced: body.count)
            self.status = status
            self.headers = headers
        }

        init(body: [UInt8], announced: Int?, repeats: Int = 1) {
            self.body = body
            self.announced = announced
            self.repeats = repeats
        }
    }

    private let socket: Int32
    private let port: UInt16

    /// Starts to listen; nil as an answer leaves the caller waiting.
    init(answer: @escaping @Sendable (String) -> Answer?) throws {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw POSIXError(.EADDRINUSE) }
        socket = descriptor
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread {
            var waiting: [Int32] = []
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else { break }
                var request = [UInt8](repeating: 0, count: 4096)
                let count = read(connection, &request, request.count)
                let words = String(decoding: request.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
                guard let answer = answer(words.count > 1 ? String(words[1]) : "") else {
                    waiting.append(connection)
                    continue
                }
                Self.send(answer, to: connection)
                close(connection)
            }
            for connection in waiting { close(connection) }
        }
    }

    private static func send(_ answer: Answer, to connection: Int32) {
        var lines = ["HTTP/1.1 \(answer.status)", "Connection: close"] + answer.headers
        if let length = answer.announced { lines.append("Content-Length: \(length)") }
        var bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
        for _ in 0..<answer.repeats { bytes += answer.body }
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// The address of a path.
    func url(_ path: String) -> String { "http://127.0.0.1:\(port)/\(path)" }

    /// Ends it.
    func stop() { shutdown(socket, Int32(SHUT_RDWR)) }
}
