import BridgeCore
import JSONTree

extension Gemma3VLToy {
    /// Tokenizer, template, processor and generation settings.
    static func sideFiles(_ configuration: JSON) -> [ToyFile] {
        let tokens: JSON = configuration["mm_tokens_per_image"] ?? .null
        let side: JSON = configuration[path: "vision_config.image_size"] ?? .null
        let preprocessor: JSON = [
            "do_convert_rgb": nil,
            "do_normalize": true,
            "do_pan_and_scan": nil,
            "do_rescale": true,
            "do_resize": true,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "Gemma3ImageProcessor",
            "image_seq_length": tokens,
            "image_std": [0.5, 0.5, 0.5],
            "pan_and_scan_max_num_crops": nil,
            "pan_and_scan_min_crop_size": nil,
            "pan_and_scan_min_ratio_to_activate": nil,
            "processor_class": "Gemma3Processor",
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
            "size": ["height": side, "width": side],
        ]
        let processor: JSON = ["image_seq_length": tokens, "processor_class": "Gemma3Processor"]
        return textFiles(configuration, imageToken: configuration["image_token_index"]?.integer ?? 0) + [
            ToyFile("preprocessor_config.json", preprocessor), ToyFile("processor_config.json", processor),
        ]
    }

    /// The files of a text-only model, or the text files of a multimodal one.
    ///
    /// - Parameters:
    ///   - configuration: The content of `config.json`.
    ///   - imageToken: The soft token of an image; nil for a model without a vision tower.
    /// - Returns: The files.
    static func textFiles(_ configuration: JSON, imageToken: Int?) -> [ToyFile] {
        let generation: JSON = [
            "bos_token_id": 2, "cache_implementation": "hybrid", "do_sample": true,
            "eos_token_id": configuration["eos_token_id"] ?? .null, "pad_token_id": 0, "top_k": 64, "top_p": 0.95,
            "transformers_version": configuration["transformers_version"] ?? .null,
        ]
        return tokenizerFiles(configuration, imageToken: imageToken) + [
            ToyFile("chat_template.jinja", text: chatTemplate), ToyFile("generation_config.json", generation),
        ]
    }

    /// The soft token of an image follows the vocabulary, as on the hub; the ids are the configuration's.
    private static func tokenizerFiles(_ configuration: JSON, imageToken: Int?) -> [ToyFile] {
        func id(_ key: String) -> Int { configuration[key]?.integer ?? 0 }
        let endOfTurn = configuration["eos_token_id"]?.array?.last?.integer ?? 6
        var special: [ToyTokenizer.Special] = [
            (0, "<pad>"), (1, "<eos>"), (2, "<bos>"), (3, "<unk>"), (4, "<mask>"), (endOfTurn - 1, "<start_of_turn>"),
            (endOfTurn, "<end_of_turn>"),
        ]
        if let imageToken {
            special += [
                (id("boi_token_index"), "<start_of_image>"), (id("eoi_token_index"), "<end_of_image>"),
                (imageToken, "<image_soft_token>"),
            ]
        }
        if endOfTurn > 6 { special += (5..<endOfTurn - 1).map { ($0, "<unused\($0 - 5)>") } }
        let tokenizer = ToyTokenizer.bytePieces(
            size: imageToken ?? id("vocab_size"),
            special: special,
            start: (2, "<bos>"),
            unknown: "<unk>"
        )
        let image: [(String, JSON)] = [
            ("boi_token", "<start_of_image>"), ("eoi_token", "<end_of_image>"), ("image_token", "<image_soft_token>"),
        ]
        let names: [(String, JSON)] =
            [("bos_token", "<bos>"), ("eos_token", "<eos>"), ("pad_token", "<pad>"), ("unk_token", "<unk>")]
            + (imageToken == nil ? [] : image)
        var settings: [(String, JSON)] = [("add_bos_token", true), ("add_eos_token", false)]
        settings += names.sorted { $0.0 < $1.0 } + [("clean_up_tokenization_spaces", false)]
        if imageToken != nil { settings.append(("extra_special_tokens", .object(JSONObject(image)))) }
        settings.append(("model_max_length", 1e30))
        if imageToken != nil { settings.append(("processor_class", "Gemma3Processor")) }
        settings.append(("tokenizer_class", "GemmaTokenizer"))
        let files = [
            ToyFile("special_tokens_map.json", .object(JSONObject(names.sorted { $0.0 < $1.0 }))),
            ToyFile("tokenizer.json", tokenizer, pretty: false),
            ToyFile("tokenizer_config.json", .object(JSONObject(settings))),
        ]
        guard let imageToken else { return files }
        return [ToyFile("added_tokens.json", ["<image_soft_token>": JSON(imageToken)])] + files
    }

    private static let chatTemplate = """
        {{ bos_token }}
        {%- if messages[0]['role'] == 'system' -%}
            {%- if messages[0]['content'] is string -%}
                {%- set preface = messages[0]['content'] + '\\n\\n' -%}
            {%- else -%}
                {%- set preface = messages[0]['content'][0]['text'] + '\\n\\n' -%}
            {%- endif -%}
            {%- set turns = messages[1:] -%}
        {%- else -%}
            {%- set preface = '' -%}
            {%- set turns = messages -%}
        {%- endif -%}
        {%- for message in turns -%}
            {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
                {{ raise_exception('user and assistant have to take turns') }}
            {%- endif -%}
            {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
            {{ '<start_of_turn>' + role + '\\n' + (preface if loop.first else '') }}
            {%- if message['content'] is string -%}
                {{ message['content'] | trim }}
            {%- else -%}
                {%- for item in message['content'] -%}
                    {%- if item['type'] == 'image' -%}
                        {{ '<start_of_image>' }}
                    {%- elif item['type'] == 'text' -%}
                        {{ item['text'] | trim }}
                    {%- endif -%}
                {%- endfor -%}
            {%- endif -%}
            {{ '<end_of_turn>\\n' }}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
            {{ '<start_of_turn>model\\n' }}
        {%- endif -%}

        """
}
