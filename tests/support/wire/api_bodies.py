"""Requests and answers as the APIs have them, with many of their fields, by the operation."""

from collections.abc import Mapping
from typing import Any

from gateway.openai_api import Operation as O  # noqa: N817 - a table is read by its rows

REQUESTS: Mapping[O, Any] = {
    O.CHAT: {
        "model": "gpt-4.1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Hi."}]},
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "cold"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "The weather.",
                    "parameters": {
                        "type": "object",
                        "properties": {"city": {"type": "string", "description": "A city.", "enum": ["Oslo", "Rome"]}},
                        "required": ["city"],
                        "additionalProperties": False,
                    },
                    "strict": True,
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "w",
                "schema": {"type": "object", "properties": {"t": {"type": "number"}}},
                "strict": True,
            },
        },
        "stop": ["END"],
        "metadata": {"team": "search"},
        "user": "user-1",
        "logit_bias": {"50256": -100},
        "stream": False,
        "stream_options": {"include_usage": True},
        "temperature": 0.2,
        "service_tier": "auto",
        "reasoning_effort": "low",
        "modalities": ["text"],
        "prediction": {"type": "content", "content": "Cold."},
        "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}},
        "seed": 1,
        "audio": None,
        "prompt_cache_key": "k1",
    },
    O.COMPLETIONS: {
        "model": "m",
        "prompt": "Once",
        "suffix": "end",
        "stop": "END",
        "max_tokens": 5,
        "user": "u",
        "logit_bias": {"1": 2},
        "echo": False,
    },
    O.RESPONSES: {
        "model": "gpt-4.1",
        "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "get_weather",
                "arguments": "{}",
                "status": "completed",
                "id": "fc_1",
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "cold"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "gAAAAB",
            },
        ],
        "tools": [
            {
                "type": "function",
                "name": "get_weather",
                "description": "The weather.",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "description": "A city.", "enum": ["Oslo", "Rome"]}},
                    "required": ["city"],
                    "additionalProperties": False,
                },
                "strict": True,
            },
            {
                "type": "web_search",
                "search_context_size": "low",
                "user_location": {"type": "approximate", "city": "Oslo"},
            },
            {
                "type": "mcp",
                "server_label": "deep",
                "server_url": "https://x.test",
                "require_approval": "never",
                "headers": {"a": "b"},
            },
            {"type": "file_search", "vector_store_ids": ["vs_1"], "filters": {"type": "eq", "key": "k", "value": "v"}},
        ],
        "tool_choice": "auto",
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "metadata": {"a": "b"},
        "store": False,
        "truncation": "auto",
        "previous_response_id": "resp_1",
        "prompt": {"id": "pmpt_1", "version": "2", "variables": {"city": "Oslo"}},
        "safety_identifier": "u1",
        "conversation": {"id": "conv_1"},
    },
    O.MESSAGES: {
        "model": "claude",
        "max_tokens": 10,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi."}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCg=="},
                    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "text", "text": "cold"}],
                        "is_error": False,
                    },
                    {
                        "type": "document",
                        "title": "T",
                        "context": "C",
                        "source": {"type": "text", "media_type": "text/plain", "data": "Doc."},
                        "citations": {"enabled": True},
                    },
                ],
            },
        ],
        "tools": [
            {
                "name": "get_weather",
                "description": "Weather.",
                "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
            }
        ],
        "tool_choice": {"type": "auto"},
        "metadata": {"user_id": "u1"},
        "stop_sequences": ["END"],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "mcp_servers": [{"type": "url", "url": "https://x.test", "name": "n", "authorization_token": "t"}],
        "service_tier": "auto",
        "container": "c1",
    },
    O.EMBEDDINGS: {"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 10, "user": "u"},
    O.DECISIONS: {
        "model": "m",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}],
        "questions": [
            {"id": "q", "type": "predicate", "name": "violence", "instructions": "Is it?", "choices": ["a", "b"]}
        ],
        "metadata": {"a": "b"},
    },
    O.CONVERSATIONS: {"items": [{"type": "message", "role": "user", "content": "Hi."}], "metadata": {"a": "b"}},
    O.FILES: {
        "filename": "a.jsonl",
        "bytes": 1,
        "mime_type": "text/plain",
        "purpose": "batch",
        "expires_after": {"anchor": "created_at", "seconds": 60},
        "part_ids": ["part_1"],
    },
    O.BATCHES: {
        "input_file_id": "file-1",
        "endpoint": "/v1/responses",
        "completion_window": "24h",
        "metadata": {"a": "b"},
    },
    O.MESSAGE_BATCHES: {
        "requests": [
            {
                "custom_id": "c1",
                "params": {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi."}]},
            }
        ]
    },
    O.VECTOR_STORES: {
        "name": "n",
        "file_ids": ["file-1"],
        "query": "q",
        "filters": {"type": "eq", "key": "k", "value": "v"},
        "attributes": {"a": "b"},
        "chunking_strategy": {"type": "auto"},
        "metadata": {"a": "b"},
    },
    O.RESPONSES_INPUT: {"model": "m", "input": "Hi.", "instructions": "x"},
}

ANSWERS: Mapping[O, Any] = {
    O.CHAT: {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "refusal": None,
                    "reasoning_content": "Hm.",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"url": "https://x.test", "title": "T", "start_index": 0, "end_index": 1},
                        }
                    ],
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
                        }
                    ],
                    "audio": None,
                },
                "logprobs": {
                    "content": [
                        {
                            "token": "Hi",
                            "logprob": -1,
                            "bytes": [72, 105],
                            "top_logprobs": [{"token": "Ho", "logprob": -2, "bytes": [72, 111]}],
                        }
                    ],
                    "refusal": None,
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "total_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
        "citations": ["https://x.test"],
        "provider": "Fireworks",
        "prompt_filter_results": [
            {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
        ],
    },
    O.COMPLETIONS: {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "text": "Hi",
                "index": 0,
                "logprobs": {
                    "tokens": ["Hi"],
                    "token_logprobs": [-1],
                    "top_logprobs": [{"Hi": -1}],
                    "text_offset": [0],
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"total_tokens": 1},
    },
    O.RESPONSES: {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "m",
        "output": [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": None,
            },
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "Hi",
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url": "https://x.test",
                                "title": "T",
                                "start_index": 0,
                                "end_index": 1,
                            }
                        ],
                        "logprobs": [],
                    }
                ],
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "f",
                "arguments": "{}",
                "status": "completed",
            },
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://x.test"}]},
            },
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "code": "1",
                "container_id": "cntr_1",
                "outputs": [{"type": "logs", "logs": "l"}],
                "status": "completed",
            },
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "name": "n",
                "server_label": "s",
                "arguments": "{}",
                "output": "o",
                "error": None,
            },
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "text": {"format": {"type": "text"}},
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        "metadata": {},
        "user": None,
        "reasoning": {"effort": "low", "summary": None},
    },
    O.MESSAGES: {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCg=="},
            {
                "type": "text",
                "text": "Hi",
                "citations": [
                    {
                        "type": "char_location",
                        "cited_text": "c",
                        "document_index": 0,
                        "document_title": "T",
                        "start_char_index": 0,
                        "end_char_index": 1,
                    }
                ],
            },
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Oslo"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": [
                    {
                        "type": "web_search_result",
                        "title": "T",
                        "url": "https://x.test",
                        "encrypted_content": "Eq==",
                        "page_age": None,
                    }
                ],
            },
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1, "service_tier": "standard"},
        "container": None,
    },
    O.MODELS: {
        "object": "list",
        "data": [{"id": "gpt-4.1", "object": "model", "created": 1, "owned_by": "system", "permission": []}],
        "first_id": None,
        "has_more": False,
    },
    O.MODERATIONS: {
        "id": "modr-1",
        "model": "omni-moderation-latest",
        "results": [
            {
                "flagged": False,
                "categories": {"violence": False},
                "category_scores": {"violence": 0.1},
                "category_applied_input_types": {"violence": ["text"]},
            }
        ],
    },
    O.MESSAGE_TOKENS: {"input_tokens": 5, "context_management": {"original_input_tokens": 5}},
    O.DECISIONS: {
        "id": "d1",
        "object": "decision",
        "results": [{"id": "q", "answer": True, "probability": 0.5}],
        "model": "m",
    },
    O.FILES: {
        "id": "file-1",
        "object": "file",
        "bytes": 1,
        "created_at": 1,
        "filename": "a.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    },
    O.BATCHES: {
        "id": "batch_1",
        "object": "batch",
        "endpoint": "/v1/responses",
        "errors": {"object": "list", "data": [{"code": "c", "message": "m", "param": None, "line": 1}]},
        "input_file_id": "file-1",
        "status": "failed",
        "output_file_id": None,
        "request_counts": {"total": 1},
    },
    O.VECTOR_STORES: {
        "object": "vector_store.search_results.page",
        "search_query": ["q"],
        "data": [
            {
                "file_id": "file-1",
                "filename": "a",
                "score": 0.5,
                "attributes": {"a": "b"},
                "content": [{"type": "text", "text": "t"}],
            }
        ],
        "has_more": False,
    },
    O.STORED_RESPONSES: {
        "object": "list",
        "data": [{"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "first_id": "msg_1",
        "last_id": "msg_1",
        "has_more": False,
    },
    O.CONVERSATIONS: {"id": "conv_1", "object": "conversation", "created_at": 1, "metadata": {"a": "b"}},
    O.OTHER: {
        "id": "img_1",
        "data": [{"url": "https://x.test", "revised_prompt": "p", "b64_json": None}],
        "error": {"message": "m", "type": "t", "code": None},
    },
    O.EMBEDDINGS: {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        "model": "m",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    },
}
