import Dispatch
public import Foundation
import FoundationNetworking
import Synchronization

/// Fetches what is at an address and hands it to `receive` in one piece.
///
/// - Parameters:
///   - url: An `http` or `https` address.
///   - mostBytes: What is more than this is not taken.
///   - seconds: The most time that it may take.
///   - context: What both functions are given.
///   - isCancelled: Asked many times a second; true ends the download.
///   - receive: Takes the bytes.
/// - Returns: Nothing when it went well; else what did not, to be freed by the caller.
@_cdecl("bridge_fetch")
public func fetch(
    _ url: UnsafePointer<CChar>?,
    _ mostBytes: Int,
    _ seconds: Double,
    _ context: UnsafeMutableRawPointer?,
    _ isCancelled: (@convention(c) (UnsafeMutableRawPointer?) -> Bool)?,
    _ receive: (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<UInt8>?, Int) -> Void)?
) -> UnsafeMutablePointer<CChar>? {
    let text = url.map { String(cString: $0) } ?? ""
    guard let url = URL(string: text), Transfer.isWeb(url), url.host?.isEmpty == false else {
        return strdup("it is no http:// or https:// address")
    }
    let transfer = Transfer(mostBytes: mostBytes)
    let configuration = URLSessionConfiguration.ephemeral
    configuration.timeoutIntervalForRequest = seconds
    configuration.timeoutIntervalForResource = seconds
    let session = URLSession(configuration: configuration, delegate: transfer, delegateQueue: nil)
    defer { session.invalidateAndCancel() }
    let task = session.dataTask(with: url)
    task.resume()
    let deadline = DispatchTime.now() + seconds
    while transfer.done.wait(timeout: .now() + .milliseconds(50)) == .timedOut {
        if isCancelled?(context) == true {
            task.cancel()
            return strdup("stopped as asked")
        }
        if DispatchTime.now() > deadline {
            task.cancel()
            return strdup("it took more than \(Int(seconds)) seconds")
        }
    }
    switch transfer.result {
    case .failure(let failure): return strdup(failure.message)
    case .success(let data):
        data.withUnsafeBytes { receive?(context, $0.bindMemory(to: UInt8.self).baseAddress, $0.count) }
        return nil
    }
}

/// A download: collects what comes, as long as it is not too much.
private final class Transfer: NSObject, URLSessionDataDelegate {
    struct Failure: Error {
        var message: String
    }

    let done = DispatchSemaphore(value: 0)
    private let mostBytes: Int
    private let state = Mutex<Result<Data, Failure>>(.success(Data()))

    init(mostBytes: Int) { self.mostBytes = mostBytes }

    var result: Result<Data, Failure> { state.withLock { $0 } }

    static func isWeb(_ url: URL) -> Bool { ["http", "https"].contains(url.scheme?.lowercased()) }

    private func fail(_ message: String) {
        state.withLock { state in
            if case .success = state { state = .failure(Failure(message: message)) }
        }
    }

    func urlSession(
        _ session: URLSession,
        dataTask: URLSessionDataTask,
        didReceive response: URLResponse,
        completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
    ) {
        let status = (response as? HTTPURLResponse)?.statusCode ?? 200
        if !(200..<300).contains(status) {
            fail("the server answers with status \(status)")
        } else if response.expectedContentLength > Int64(mostBytes) {
            fail("it has \(response.expectedContentLength) bytes and at most \(mostBytes) are taken")
        }
        if case .failure = result { completionHandler(.cancel) } else { completionHandler(.allow) }
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        let isTooMuch = state.withLock { state in
            guard case .success(var all) = state else { return true }
            state = .success(Data())
            all.append(data)
            state = .success(all)
            return all.count > mostBytes
        }
        guard isTooMuch else { return }
        fail("it has more than the \(mostBytes) bytes that are taken")
        dataTask.cancel()
    }

    func urlSession(
        _ session: URLSession,
        task: URLSessionTask,
        willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest,
        completionHandler: @escaping (URLRequest?) -> Void
    ) {
        let goesOn = request.url.map(Self.isWeb) ?? false
        if !goesOn { fail("it leads to an address that is not http:// or https://") }
        completionHandler(goesOn ? request : nil)
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        if let error { fail(error.localizedDescription) }
        done.signal()
    }
}
