import BridgeSupport
import CPluginABI
import Glibc
import NativeKernels

/// Reads the kernels that a library declares.
enum KernelTable {
    private static let mostKernels: UInt32 = 1024

    /// The kernels of a loaded library; none where it declares none.
    ///
    /// - Parameters:
    ///   - handle: The library, which stays loaded.
    ///   - path: The library, for messages.
    /// - Returns: The kernels.
    /// - Throws: `BridgeError` with code `badPlugin` for a table of another version, a signature that is wrong, and symbols that the
    ///   library does not export.
    static func kernels(of handle: UnsafeMutableRawPointer, _ path: String) throws -> [NativeKernel] {
        guard let declare = dlsym(handle, "bridge_plugin_kernels") else { return [] }
        guard let table = unsafeBitCast(declare, to: bridge_plugin_kernels_function.self)()?.pointee else {
            throw bad("\(path) has no table of kernels: bridge_plugin_kernels returned nothing")
        }
        let size = UInt32(MemoryLayout<bridge_kernel>.size)
        guard table.byte_count == size else {
            throw bad("\(path) has kernels of \(table.byte_count) bytes, expected \(size); rebuild the plugin")
        }
        guard table.count <= mostKernels, table.count == 0 || table.kernels != nil else {
            throw bad("\(path) declares \(table.count) kernels, expected at most \(mostKernels) in a table that exists")
        }
        var seen: Set<String> = []
        return try UnsafeBufferPointer(start: table.kernels, count: Int(table.count)).enumerated().map {
            index,
            kernel in
            guard let name = text(kernel.name), !name.isEmpty, seen.insert(name).inserted else {
                throw bad("\(path): kernel \(index + 1) has no name, or that of another one; give each its own")
            }
            guard let signature = text(kernel.signature), let symbol = text(kernel.symbol) else {
                throw bad("\(path): the kernel \(name) has no signature or no symbol")
            }
            do {
                return NativeKernel(
                    name: name,
                    signature: try KernelSignature(signature),
                    function: try function(symbol, of: handle),
                    backward: try text(kernel.backward).map { try function($0, of: handle) }
                )
            } catch let error as BridgeError {
                throw error.prefixed(by: "\(path), kernel \(name)")
            }
        }
    }

    private static func function(_ symbol: String, of handle: UnsafeMutableRawPointer) throws -> UnsafeRawPointer {
        guard let found = dlsym(handle, symbol) else {
            throw bad("the library does not export \(symbol); correct the name, or export the function")
        }
        return UnsafeRawPointer(found)
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

    private static func bad(_ message: String) -> BridgeError { BridgeError(.badPlugin, message) }
}
