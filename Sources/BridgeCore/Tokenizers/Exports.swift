// Messages, rendered chats and templates are part of what a tokenizer takes and gives.
@_exported public import JinjaTemplates
