public import Foundation
public import JSONTree

/// Models to convert: copies of the fixtures, and larger ones made here.
public enum Models {
    /// A copy of a fixture that may be changed.
    @discardableResult
    public static func copy(_ name: String, to url: URL) throws -> URL {
        try FileManager.default.copyItem(atPath: Fixtures.checkpoint(name), toPath: url.path)
        return url
    }

    /// Changes a JSON file.
    public static func edit(_ url: URL, _ change: (inout JSON) -> Void) throws {
        var json = try JSON(parsing: [UInt8](Data(contentsOf: url)))
        change(&json)
        try Data(json.text()).write(to: url)
    }

    /// The bytes of a safetensors file with any text as its header, which announces `length` or the header's true length.
    public static func safetensors(_ header: String, data: Int, length: UInt64? = nil) -> Data {
        var bytes = Data()
        withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { bytes.append(contentsOf: $0) }
        return bytes + Data(header.utf8) + Data(count: data)
    }

    /// The bytes of a safetensors file with int64 tensors.
    public static func safetensors(_ tensors: [(name: String, shape: [Int], numbers: [Int64])]) -> Data {
        var (header, data) = ([String](), Data())
        for (name, shape, numbers) in tensors {
            let start = data.count
            numbers.withUnsafeBytes { data.append(contentsOf: $0) }
            header.append(entry(name, "I64", "\(shape)", "[\(start),\(data.count)]"))
        }
        return safetensors("{\(header.joined(separator: ","))}", data: 0) + data
    }

    /// One entry of a header.
    public static func entry(_ name: String, _ dtype: String, _ shape: String, _ offsets: String) -> String {
        #""\#(name)":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(offsets)}"#
    }

    /// A Mistral model of about 170 MB in one file, whose weights are a hole in the file and therefore cost nothing.
    public static func large(at url: URL) throws {
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        let (hidden, ffn, heads, groups, width, vocabulary, layers) = (1024, 2048, 16, 4, 64, 32000, 2)
        let configuration: JSON = [
            "architectures": ["MistralForCausalLM"], "model_type": "mistral", "torch_dtype": "bfloat16",
            "hidden_size": .number(JSONNumber(hidden)), "intermediate_size": .number(JSONNumber(ffn)),
            "num_attention_heads": .number(JSONNumber(heads)), "num_key_value_heads": .number(JSONNumber(groups)),
            "head_dim": .number(JSONNumber(width)), "num_hidden_layers": .number(JSONNumber(layers)),
            "vocab_size": .number(JSONNumber(vocabulary)), "hidden_act": "silu", "max_position_embeddings": 4096,
        ]
        try Data(configuration.text()).write(to: url.appendingPathComponent("config.json"))
        var shapes: [(String, [Int])] = [
            ("model.embed_tokens.weight", [vocabulary, hidden]), ("lm_head.weight", [vocabulary, hidden]),
            ("model.norm.weight", [hidden]),
        ]
        for layer in 0..<layers {
            let own = "model.layers.\(layer)."
            shapes += [
                ("\(own)self_attn.q_proj.weight", [heads * width, hidden]),
                ("\(own)self_attn.k_proj.weight", [groups * width, hidden]),
                ("\(own)self_attn.v_proj.weight", [groups * width, hidden]),
                ("\(own)self_attn.o_proj.weight", [hidden, heads * width]),
                ("\(own)mlp.gate_proj.weight", [ffn, hidden]), ("\(own)mlp.up_proj.weight", [ffn, hidden]),
                ("\(own)mlp.down_proj.weight", [hidden, ffn]), ("\(own)input_layernorm.weight", [hidden]),
                ("\(own)post_attention_layernorm.weight", [hidden]),
            ]
        }
        var end = 0
        let entries = shapes.map { name, shape in
            let start = end
            end += shape.reduce(2, *)
            return entry(name, "BF16", "\(shape)", "[\(start),\(end)]")
        }
        let file = url.appendingPathComponent("model.safetensors")
        let head = safetensors("{\(entries.joined(separator: ","))}", data: 0)
        try head.write(to: file)
        let handle = try FileHandle(forWritingTo: file)
        try handle.truncate(atOffset: UInt64(head.count + end))
        try handle.close()
    }
}
