import BridgeSupport
import CFFI
public import TensorRuntime

/// A function of a shared library that computes a tensor from tensors, such as a kernel in C.
///
/// It is called through libffi, after every argument was compared with the signature. Its gradient is that of a second
/// function, which has, in this order: the arguments of the first one without its result; a pointer to the gradient of the
/// result; a pointer for the gradient of each floating-point input, which it fills; the sizes. It returns `int32_t` too.
public final class NativeKernel: @unchecked Sendable {
    /// The name.
    public let name: String
    /// The arguments.
    public let signature: KernelSignature
    private let function: UnsafeRawPointer
    private let backward: UnsafeRawPointer?

    /// A kernel.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - signature: The arguments.
    ///   - function: The C function, which is never unloaded.
    ///   - backward: The function of the gradients; nil for a kernel that is not differentiated.
    public init(
        name: String,
        signature: KernelSignature,
        function: UnsafeRawPointer,
        backward: UnsafeRawPointer? = nil
    ) {
        self.name = name
        self.signature = signature
        self.function = function
        self.backward = backward
    }

    /// Calls the kernel.
    ///
    /// - Parameters:
    ///   - tensors: The input tensors in the order of the signature; of any strides.
    ///   - numbers: The numbers in the order of the signature.
    /// - Returns: The result, tracked where an input is.
    /// - Throws: `BridgeError` with code `badArgument` for arguments that the signature does not have, with code `badPlugin` when
    ///   the function reports an error or gradients are needed that it has not.
    public func callAsFunction(_ tensors: [Tensor], _ numbers: [Double] = []) throws -> Tensor {
        let sizes = try checkedSizes(tensors, numbers)
        guard let engine = tensors.first?.engine else { throw bad("it has no input tensor") }
        if backward == nil, tensors.contains(where: \.isTracked), Tensor.recordsOperations {
            throw BridgeError(
                .badPlugin,
                "the kernel \(name) has no backward symbol, and one of its inputs is trained; declare one, or freeze the input"
            )
        }
        let plain = tensors.map { $0.detached.contiguous() }
        let shape = signature.output.sizes.map { Self.value(of: $0, sizes) }
        let out = Tensor(uninitialized: shape, signature.output.elementType, on: engine)
        let order = signature.sizeNames.map { Int64(sizes[$0] ?? 0) }
        if out.count > 0 {
            let status = call(function, plain, numbers, filling: [out], order)
            guard status == 0 else {
                throw BridgeError(
                    .badPlugin,
                    "the kernel \(name) reports the error \(status) for inputs of \(tensors.map(\.shape))"
                )
            }
        }
        guard let backward else { return out }
        return out.tracked(tensors) { [self] gradient in
            let isFloating = plain.map(\.elementType.isFloatingPoint)
            let gradients = zip(plain, isFloating).map { tensor, isFloating in
                isFloating ? Tensor(uninitialized: tensor.shape, tensor.elementType, on: engine) : nil
            }
            let given = gradient.detached.cast(to: out.elementType).contiguous()
            let status = call(backward, plain, numbers, [given], filling: gradients.compactMap(\.self), order)
            // A backward pass cannot throw; gradients that are not numbers end a run with an error.
            if status != 0 { for case let tensor? in gradients { engine.fill(tensor, with: .nan) } }
            return gradients
        }
    }

    private func bad(_ what: String) -> BridgeError {
        BridgeError(
            .badArgument,
            "the kernel \(name) is called with other arguments than its signature \"\(signature)\": \(what)"
        )
    }

    private static func value(of size: KernelSignature.Size, _ sizes: [String: Int]) -> Int {
        switch size {
        case .named(let name): sizes[name] ?? 0
        case .exact(let value): value
        }
    }

    /// The named sizes of the arguments, which have the types and ranks of the signature.
    private func checkedSizes(_ tensors: [Tensor], _ numbers: [Double]) throws -> [String: Int] {
        let expected = signature.tensors
        guard tensors.count == expected.count, numbers.count == signature.numbers.count else {
            throw bad("\(tensors.count) tensors and \(numbers.count) numbers")
        }
        var sizes: [String: Int] = [:]
        for (tensor, argument) in zip(tensors, expected) {
            guard tensor.elementType == argument.elementType else {
                throw bad(
                    "\(argument.name) is \(tensor.elementType.rawValue), expected \(argument.elementType.rawValue)"
                )
            }
            guard tensor.rank == argument.sizes.count else {
                throw bad("\(argument.name) has the shape \(tensor.shape), expected \(argument.sizes.count) dimensions")
            }
            guard tensor.engine === tensors[0].engine else { throw bad("\(argument.name) is of another engine") }
            for (size, found) in zip(argument.sizes, tensor.shape) {
                switch size {
                case .exact(let value):
                    guard found == value else {
                        throw bad("\(argument.name) has the shape \(tensor.shape), expected \(value)")
                    }
                case .named(let name):
                    if let other = sizes.updateValue(found, forKey: name), other != found {
                        throw bad("\(name) is \(found) in \(argument.name) and \(other) before it")
                    }
                }
            }
        }
        return sizes
    }

    /// Calls a function with the inputs, further tensors, tensors that it fills, and sizes; its status.
    private func call(
        _ function: UnsafeRawPointer,
        _ tensors: [Tensor],
        _ numbers: [Double],
        _ further: [Tensor] = [],
        filling outputs: [Tensor],
        _ sizes: [Int64]
    ) -> Int32 {
        var pointers: [UnsafeMutableRawPointer?] = []
        let read = tensors + further
        /// Collects the addresses of the tensors one after the other, all of which have to hold during the call.
        func collect(_ index: Int) -> Int32 {
            if index < read.count {
                var status: Int32 = -1
                read[index].engine.download(read[index]) { bytes in
                    pointers.append(UnsafeMutableRawPointer(mutating: bytes.baseAddress))
                    status = collect(index + 1)
                }
                return status
            }
            guard index - read.count < outputs.count else {
                return invoke(function, pointers, numbers, tensors.count, sizes)
            }
            let tensor = outputs[index - read.count]
            var status: Int32 = -1
            tensor.engine.upload(tensor) { bytes in
                pointers.append(bytes.baseAddress)
                status = collect(index + 1)
            }
            return status
        }
        return collect(0)
    }

    /// Puts the arguments into their order and calls.
    private func invoke(
        _ function: UnsafeRawPointer,
        _ pointers: [UnsafeMutableRawPointer?],
        _ numbers: [Double],
        _ inputCount: Int,
        _ sizes: [Int64]
    ) -> Int32 {
        var (pointers, numbers, sizes) = (pointers, numbers, sizes)
        return pointers.withUnsafeMutableBufferPointer { pointers in
            numbers.withUnsafeMutableBufferPointer { numbers in
                sizes.withUnsafeMutableBufferPointer { sizes in
                    var kinds = ""
                    var values: [UnsafeMutableRawPointer?] = []
                    var (tensor, number) = (0, 0)
                    for input in signature.inputs {
                        if case .tensor = input {
                            kinds += "p"
                            values.append(pointers.baseAddress.map { UnsafeMutableRawPointer($0 + tensor) })
                            tensor += 1
                        } else {
                            kinds += "d"
                            values.append(numbers.baseAddress.map { UnsafeMutableRawPointer($0 + number) })
                            number += 1
                        }
                    }
                    for index in inputCount..<pointers.count {
                        kinds += "p"
                        values.append(pointers.baseAddress.map { UnsafeMutableRawPointer($0 + index) })
                    }
                    for index in sizes.indices {
                        kinds += "l"
                        values.append(sizes.baseAddress.map { UnsafeMutableRawPointer($0 + index) })
                    }
                    var status: Int32 = 0
                    return cffi_call(function, kinds, &values, &status) == 0 ? status : -1
                }
            }
        }
    }
}

/// The kernels of the loaded plugins by name.
public struct NativeKernels: Sendable {
    private let byName: [String: NativeKernel]

    /// Kernels.
    public init(_ kernels: [NativeKernel] = []) {
        byName = Dictionary(kernels.map { ($0.name, $0) }) { first, _ in first }
    }

    /// The names, sorted.
    public var names: [String] { byName.keys.sorted() }

    /// A kernel.
    ///
    /// - Throws: `BridgeError` with code `badPlugin` when no plugin has it.
    public func kernel(_ name: String) throws -> NativeKernel {
        guard let kernel = byName[name] else {
            let known = names.isEmpty ? "no plugin has kernels" : "there are \(names.joined(separator: ", "))"
            throw BridgeError(
                .badPlugin,
                "the model needs the kernel \(name), and \(known); give the library that has it with --plugin"
            )
        }
        return kernel
    }
}
