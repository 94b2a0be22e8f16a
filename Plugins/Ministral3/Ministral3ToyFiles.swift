import BridgeCore
import JSONTree

extension Ministral3Toy {
    /// Tokenizer, template, processor and generation settings.
    static func sideFiles(_ configuration: JSON) -> [ToyFile] {
        let patch = configuration[path: "vision_config.patch_size"] ?? .null
        let generation: JSON = [
            "bos_token_id": 1, "eos_token_id": 2,
            "max_length": configuration[path: "text_config.max_position_embeddings"] ?? .null, "pad_token_id": 11,
            "transformers_version": configuration["transformers_version"] ?? .null,
        ]
        let processor: JSON = [
            "image_break_token": "[IMG_BREAK]",
            "image_end_token": "[IMG_END]",
            "image_processor": [
                "data_format": "channels_first",
                "do_convert_rgb": true,
                "do_normalize": true,
                "do_rescale": true,
                "do_resize": true,
                "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_processor_type": "PixtralImageProcessorFast",
                "image_std": [0.26862954, 0.26130258, 0.27577711],
                "patch_size": patch,
                "resample": 3,
                "rescale_factor": 0.00392156862745098,
                "size": ["longest_edge": configuration[path: "vision_config.image_size"] ?? .null],
            ],
            "image_token": "[IMG]",
            "patch_size": patch,
            "processor_class": "PixtralProcessor",
            "spatial_merge_size": configuration["spatial_merge_size"] ?? .null,
        ]
        return TekkenToy.files(
            vocabularySize: configuration[path: "text_config.vocab_size"]?.integer ?? 0,
            chatTemplate: chatTemplate
        ) + [
            ToyFile("generation_config.json", generation), ToyFile("processor_config.json", processor),
            ToyFile("SYSTEM_PROMPT.txt", text: "You are a toy model.\nToday is {today}; yesterday was {yesterday}.\n"),
        ]
    }

    private static let chatTemplate = """
        {%- set default_system_message = 'You are a toy model and know nothing.' %}
        {{- bos_token }}
        {%- if messages[0]['role'] == 'system' %}
            {%- if messages[0]['content'] is string %}
                {%- set system_message = messages[0]['content'] %}
            {%- else %}
                {%- set system_message = messages[0]['content'][0]['text'] %}
            {%- endif %}
            {%- set turns = messages[1:] %}
        {%- else %}
            {%- set system_message = default_system_message %}
            {%- set turns = messages %}
        {%- endif %}
        {{- '[SYSTEM_PROMPT]' + system_message + '[/SYSTEM_PROMPT]' }}
        {%- for message in turns %}
            {%- if message['role'] == 'user' %}
                {{- '[INST]' }}
                {%- if message['content'] is string %}
                    {{- message['content'] }}
                {%- else %}
                    {%- for block in message['content'] %}
                        {%- if block['type'] == 'text' %}
                            {{- block['text'] }}
                        {%- elif block['type'] in ['image', 'image_url'] %}
                            {{- '[IMG]' }}
                        {%- else %}
                            {{- raise_exception('A block is text or an image, not ' + block['type'] + '.') }}
                        {%- endif %}
                    {%- endfor %}
                {%- endif %}
                {{- '[/INST]' }}
            {%- elif message['role'] == 'assistant' %}
                {{- message['content'] + eos_token }}
            {%- else %}
                {{- raise_exception('There is no role ' + message['role'] + ' here; user and assistant are known.') }}
            {%- endif %}
        {%- endfor %}

        """
}
