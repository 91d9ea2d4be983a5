"""The words of the APIs: names of fields, and the values that are known of some of them.

They are taken from the types of the two SDKs, from JSON Schema, and from what other servers add. What is written like
that says nothing of its own.
"""

from collections.abc import Mapping

_VALUES = """
access_type: application passthrough
account_status: active blocked suspended
action: auto edit generate removed verify
allowed_callers: code_execution_20250825 code_execution_20260120 code_execution_20260521 direct programmatic
anchor: created_at last_active_at
background: auto opaque transparent
betas: admin-user-sign-out-2026-10-08 advisor-tool-2026-03-01 agent-memory-2026-07-22 analytics-usage-cost-2026-08-24
  cache-diagnosis-2026-04-07 ce-claude-code-managed-settings-2026-10-06 ce-plugins-2026-09-01
  ce-user-management-2026-07-13 code-execution-2025-05-22 compact-2026-01-12 compact-2026-09-04
  computer-use-2024-10-22 computer-use-2025-01-24 computer-use-2025-11-24 context-1m-2025-08-07
  context-management-2025-06-27 dev-full-thinking-2025-05-14 dreaming-2026-04-21 efs-2026-10-01
  experimental-claude-tag-2026-10-21 extended-cache-ttl-2025-04-11 fallback-credit-2026-06-01
  fallback-credit-2026-07-01 fast-mode-2026-02-01 files-api-2025-04-14 google-managed-data-controls-2026-09-01
  inline-tools-2026-09-15 interleaved-thinking-2025-05-14 managed-agents-2026-04-01 mcp-client-2025-04-04
  mcp-client-2025-11-20 mcp-client-2026-09-15 mcp-tunnels-2026-06-22 message-batches-2024-09-24
  message-threads-2026-08-12 mid-conversation-output-config-2026-07-01 mid-conversation-system-clear-at-2026-08-21
  mid-conversation-tool-changes-2026-07-01 model-context-window-exceeded-2025-08-26 output-128k-2025-02-19
  output-300k-2026-03-24 pdfs-2024-09-25 prompt-caching-2024-07-31 server-side-fallback-2026-06-01
  server-side-fallback-2026-07-01 skills-2025-10-02 spend-limit-reads-2026-09-26 structured-outputs-2025-11-13
  task-budgets-2026-03-13 telemetry-destinations-2026-08-11 thinking-binding-controls-2026-08-01
  thinking-display-updates-2026-08-18 thinking-token-count-2026-05-13 token-counting-2024-11-01
  token-efficient-tools-2025-02-19 user-profiles-2026-03-24 user-profiles-2026-08-18 user-profiles-2026-09-04
  user-profiles-billing-2026-10-01 webhooks-2026-10-07
bill_to: self user_profile
button: back forward left right wheel
category: bio cyber frontier_llm general_harms reasoning_extraction
category_applied_input_types: image text
chunking_strategy: auto
clear_at: never next_user_message
code: bio_policy data_residency_mismatch empty_image_file failed_to_download_image image_content_policy_violation
  image_file_not_found image_file_too_large image_parse_error image_too_large image_too_small invalid_base64_image
  invalid_file invalid_image invalid_image_format invalid_image_mode invalid_image_url invalid_input invalid_prompt
  misalignment_policy_violation rate_limit_exceeded response_already_completed response_not_active response_not_found
  server_error steering_not_supported successor_creation_failed too_many_pending_steers unsupported_file
  unsupported_image_media_type vector_store_timeout
command: create delete insert rename str_replace view
completion_window: soonest
complexity: high low medium
connector_id: connector_dropbox connector_gmail connector_googlecalendar connector_googledrive
  connector_microsoftteams connector_outlookcalendar connector_outlookemail connector_sharepoint
context: all_turns auto current_turn
context_compression: auto disabled enabled
cyber: daybreak_blue daybreak_red standard
detail: auto high low original
display: omitted summarized updates
done_reason: length load stop
effort: high low max medium minimal none xhigh
encoding_format: base64 float
endpoint: /v1/chat/completions /v1/completions /v1/embeddings /v1/images/edits /v1/images/generations /v1/moderations
  /v1/responses /v1/videos
enforcement_status: banned pending restricted unrestricted
entity_type: business government individual non_profit
environment: browser linux mac ubuntu windows
error_code: already_member api_key_scope_missing approval_required authorization_check_unavailable
  available_tools_limit_exceeded bundle_attachment_not_supported bundle_on_call
  cannot_invite_emails_with_unverified_domains cannot_remove_last_member cannot_sign_out_managed_member
  cannot_sign_out_membership_admin cannot_sign_out_owner cannot_sign_out_primary_owner
  cannot_sign_out_privileged_member cannot_sign_out_self change_outcome_unknown claude_code_key_creator_not_member
  claude_code_version_too_old claude_tag_writes_not_enabled cmek_context_unavailable cmek_feature_unsupported
  cmek_key_disabled cmek_key_network_blocked cmek_key_unreachable cmek_not_approved compaction_block_ambiguous
  compaction_block_misplaced compaction_content_mismatch compaction_incomplete_turn compaction_nothing_to_summarize
  compaction_signature_invalid compaction_too_many_tool_references compaction_tool_changes_mismatch
  compaction_unavailable compliance_configuration_restricted concurrent_membership_change content_too_large
  contract_spend_limit_reached email_domain_not_allowed enforced_spend_limit_reached environment_archived
  environment_create_disabled environment_not_found environment_update_disabled execution_time_exceeded
  external_key_changed external_key_in_workspace_policy external_key_not_found external_key_provider_mismatch
  external_key_validation_failed external_key_validation_timed_out external_storage_in_use
  external_storage_in_workspace_policy external_storage_not_available file_expired file_not_downloadable
  file_not_found gcp_project_controlled_by_another_organization gcp_project_not_verified grant_required
  heartbeat_precondition_failed human_review_not_available human_review_on_with_external_storage
  image_dimensions_too_large invalid_config_type_change invalid_metadata invalid_storage_arn invalid_tool_input
  invite_already_exists key_profile_mismatch linked_organization_billing_unavailable
  linked_organization_spend_limit_reached max_uses_exceeded model_not_found org_api_key_limit_exceeded
  org_member_limit_exceeded organization_level_scoped_api_key_required organization_not_eligible
  organization_not_enrolled_in_beta organization_on_hold organization_type_not_supported output_file_too_large
  overloaded parent_organization_required plugin_name_taken prompt_too_long provider_not_allowed query_too_long
  ramp_limit_exceeded rbac_group_grants_owner_access rbac_group_managed_settings_not_found rbac_group_not_found
  rbac_group_order_limit_exceeded rbac_group_owner_access_unconfirmed rbac_role_not_found region_not_supported
  registration_pending request_body_encoding_invalid request_body_encoding_unsupported request_body_timeout
  request_body_too_large_after_decoding request_too_large sandbox_egress_restricted scan_failed scan_pending
  settings_document_limit_exceeded settings_history_limit_exceeded skill_name_taken skill_read_blocked_undecryptable
  slack_channel_set_up_environment_not_found slack_channel_set_up_settings_conflict
  slack_channel_set_up_settings_refused spend_limits_admin_api_writes_not_enabled storage_already_registered
  storage_attach_limit_reached storage_attached_during_archive storage_changed_concurrently storage_in_use
  storage_not_approved storage_not_attachable storage_profile_mismatch storage_profile_still_required
  storage_quota_exceeded storage_verification_failed thread_already_continued thread_continue_in_flight
  thread_fingerprint_mismatch thread_not_found thread_unsupported_request too_many_requests tool_name_conflict
  tool_reference_unresolved transcripts_storage_required unavailable unsupported_charset unsupported_content_type
  unsupported_region url_not_accessible url_not_allowed url_not_in_prior_context url_too_long
  user_profile_billing_not_authorized user_profile_not_billable user_profile_not_found user_profile_required
  workspace_api_key_limit_exceeded workspace_changed_concurrently workspace_created_incomplete
  workspace_human_review_disabled workspace_member_limit_exceeded workspace_policy_violation
error_type: other potentially_unintended_data_access potentially_unintended_data_transfer
  potentially_unintended_destructive_activity
execution: client server
fallbacks: default
field: external_key_id inference_data_privacy.human_review
file_type: image pdf text
filter: all cancelled completed failed in_progress interactive
finish_reason: MAX_TOKENS SAFETY STOP abort cancelled content_filter end_turn eos eos_token error function_call
  insufficient_system_resource length max_tokens model_length stop stop_sequence tool_calls
format: aac anthropic-claude-v1 binary byte date date-time double duration email flac float google-gemini-v1 hostname
  int32 int64 ipv4 ipv6 json mp3 openai-responses-v1 opus password pcm16 regex time unknown uri uuid wav
  xai-responses-v1
function_call: auto none
generate_summary: auto concise detailed
harassment: text
harassment/threatening: text
hate: text
hate/threatening: text
illicit: text
illicit/violent: text
include: code_interpreter_call.outputs computer_call_output.output.image_url file_search_call.results logprobs
  message.input_image.image_url message.output_text.logprobs reasoning.encrypted_content
  web_search_call.action.sources web_search_call.results
input_fidelity: high low
keep: all
lifecycle: active deprecated retired
line: fable haiku mythos opus sonnet
media_type: application/pdf application/zip image/gif image/jpeg image/png image/webp text/plain
modalities: audio text
mode: auto best_effort block explicit implicit pro required score standard strict
moderation: auto low
moderation_stage: input output unknown
name: advisor bash bash_code_execution close_tab code_execution computer cursor_position double_click file_upload find
  form_input get_page_text hold_key hover javascript_exec key left_click left_click_drag left_mouse_down left_mouse_up
  list_tabs memory middle_click mouse_move navigate new_tab read_console read_network read_page right_click screenshot
  scroll scroll_to str_replace_based_edit_tool str_replace_editor switch_tab text_editor_code_execution
  tool_search_tool_bm25 tool_search_tool_regex triple_click type wait web_fetch web_search zoom
native_finish_reason: MAX_TOKENS STOP completed end_turn eos length max_tokens stop tool_calls tool_use
object: audio.voice audio.voice.deleted audio.voice_consent batch chat.completion chat.completion.chunk
  chat.completion.deleted conversation conversation.deleted embedding file list message model response
  response.compaction response.input_tokens text_completion thread.message thread.message.deleted thread.message.delta
  upload upload.part vector_store vector_store.deleted vector_store.file vector_store.file.deleted
  vector_store.files_batch
order: asc desc
order_by: created_at name
output_format: gif jpeg png svg webp
oversized_image: downsize error
owned_by: openai system
payer: developer openai
personality: friendly pragmatic
phase: commentary final_answer
prefix_mismatch_behavior: drop_block error
processing_status: canceling ended in_progress
prompt_cache_retention: in_memory
purpose: assistants assistants_output batch batch_output evals fine-tune fine-tune-results user_data vision
quality: auto hd high low max medium standard xhigh
ranker: auto default-2024-11-15 none
reason: account_compromise body_mismatch content_filter context_compacted continuation_excluded continuation_only
  end_user_binding_mismatch end_user_mismatch expired fraud_or_abuse high_harm input_changed invalid_target_model
  max_messages max_output_tokens max_tokens model_binding_mismatch model_changed model_mismatch not_enabled
  organization_binding_mismatch organization_mismatch prefix_binding_mismatch prefix_mismatch prompt_cache_key_changed
  reasoning_effort_changed reprice_unavailable run_cancelled run_expired run_failed service_tier_changed steered
  temporarily_unavailable text_format_changed tools_changed turn_boundary unspecified unsupported_region
  usage_policy_violation variant_fields_present verbosity_changed waiting_for_required_input wrong_organization
  wrong_platform wrong_workspace
reasoning_effort: high low max medium minimal none xhigh
require_approval: always never
response_format: aac b64_json diarized_json flac json mp3 opus pcm srt text url verbose_json vtt wav
response_inclusion: excluded full
role: assistant critic developer discriminator function model system tool unknown user
scroll_direction: down left right up
search_content_types: image text
search_context_size: high low medium
self-harm: image text
self-harm/instructions: image text
self-harm/intent: image text
service_tier: auto batch default fast flex on_demand performance priority scale standard standard_only ultrafast
severity: high low medium safe
sexual: image text
sexual/minors: text
size: auto
speed: fast standard
status: active calling canceled cancelled cancelling completed error expired failed finalizing generating in_progress
  inactive incomplete interpreting pending processed queued rejected running searching uploaded validating
stop_reason: compaction end_turn length max_tokens model_context_window_exceeded pause_turn refusal stop stop_sequence
  tool_use
stream_format: audio sse
style: natural vivid
summary: auto concise detailed
syntax: lark regex
task: transcribe
timestamp_granularities: segment word
tool_choice: auto none required
toolset_name: browser computer
truncation: auto disabled
type: adaptive additional_tools advisor_20260301 advisor_message advisor_redacted_result advisor_result
  advisor_tool_result advisor_tool_result_error agent.archived agent.created agent.deleted agent.updated all
  allowed_tools allowlist and anthropic anthropic_example any api_error apply_patch apply_patch_call
  apply_patch_call_output approximate array audio_sample authentication_error auto ban base64 bash_20241022
  bash_20250124 bash_code_execution_output bash_code_execution_result bash_code_execution_tool_result
  bash_code_execution_tool_result_error between_tools billing_error billing_policy boolean browser_state
  browser_toolset_20260801 cache_hit cache_miss canceled char_location choice citations_delta clear_thinking_20251015
  clear_tool_uses_20250919 click cloud code_execution_20250522 code_execution_20250825 code_execution_20260120
  code_execution_20260521 code_execution_output code_execution_result code_execution_tool_result
  code_execution_tool_result_error code_interpreter code_interpreter_call compact_20260112 compaction compaction_delta
  compaction_trigger comparison_response_not_found computer computer_20241022 computer_20250124 computer_20251124
  computer_call computer_call_output computer_screenshot computer_toolset_20260801 computer_use computer_use_preview
  configuration_update container_auto container_file_citation container_reference container_upload content
  content_block_delta content_block_location content_block_start content_block_stop continue coordinate create
  create_file create_new custom custom_tool_call custom_tool_call_output delete_file deployment.archived
  deployment.created deployment.deleted deployment.paused deployment.unpaused deployment.updated deployment_run.failed
  deployment_run.started deployment_run.succeeded direct disabled document double_click download_completed
  download_failed download_started drag dream duration enabled encrypted_code_execution_result enroll_end_user
  enrollment_url environment.archived environment.created environment.deleted environment.updated ephemeral eq error
  errored event except exec exit expired external_key.failed external_key.recovered external_storage.failed
  external_storage.recovered fallback fallback_message file file_citation file_deleted file_path file_search
  file_search_call find_in_page function function_call function_call_output grammar gt gte http_error image
  image_edit.completed image_edit.partial_image image_file image_generation image_generation.completed
  image_generation.partial_image image_generation_call image_url in inline input_audio input_file input_image
  input_json input_json_delta input_text input_tokens integer invalid_request_error item_reference json_object
  json_schema keypress limited local local_shell local_shell_call local_shell_call_output logs lt lte mcp
  mcp_approval_request mcp_approval_response mcp_call mcp_list_tools mcp_protocol_error mcp_tool_execution_error
  mcp_tool_listing mcp_tool_reference mcp_tool_result mcp_tool_use mcp_toolset mcp_toolset_reference memory_20250818
  memory_store memory_store.archived memory_store.created memory_store.deleted message message_batch
  message_batch_deleted message_delta message_start message_stop messages_changed model model_changed
  moderation_result moderation_results move namespace ne nin none not_applied not_found_error null number object only
  open_page or other output_text overloaded_error packages page_location permission_error plugin predicate
  previous_message_not_found program program_output programmatic_tool_calling prompt python rate_limit_error reasoning
  reasoning_text redacted_thinking redeemed ref refusal response.audio.delta response.audio.done
  response.audio.transcript.delta response.audio.transcript.done response.code_interpreter_call.completed
  response.code_interpreter_call.in_progress response.code_interpreter_call.interpreting
  response.code_interpreter_call_code.delta response.code_interpreter_call_code.done response.compaction.compacting
  response.completed response.content_part.added response.content_part.done response.create response.created
  response.custom_tool_call_input.delta response.custom_tool_call_input.done response.failed
  response.file_search_call.completed response.file_search_call.in_progress response.file_search_call.searching
  response.function_call_arguments.delta response.function_call_arguments.done
  response.image_generation_call.completed response.image_generation_call.generating
  response.image_generation_call.in_progress response.image_generation_call.partial_image response.in_progress
  response.incomplete response.mcp_call.completed response.mcp_call.failed response.mcp_call.in_progress
  response.mcp_call_arguments.delta response.mcp_call_arguments.done response.mcp_list_tools.completed
  response.mcp_list_tools.failed response.mcp_list_tools.in_progress response.output_item.added
  response.output_item.done response.output_text.annotation.added response.output_text.delta response.output_text.done
  response.queued response.reasoning_summary_part.added response.reasoning_summary_part.done
  response.reasoning_summary_text.delta response.reasoning_summary_text.done response.reasoning_text.delta
  response.reasoning_text.done response.refusal.delta response.refusal.done response.shell_call_command.added
  response.shell_call_command.delta response.shell_call_command.done response.shell_call_output_content.delta
  response.shell_call_output_content.done response.steer response.steer.accepted response.steer.failed
  response.steer.pending response.web_search_call.completed response.web_search_call.in_progress
  response.web_search_call.searching restriction score screenshot scroll search search_result search_result_location
  self_hosted server_tool_use server_vad session session.archived session.budget_reached session.created
  session.deleted session.idled session.outcome_evaluation_ended session.pending session.requires_action
  session.running session.status_idled session.status_rescheduled session.status_run_started session.status_terminated
  session.thread_created session.thread_idled session.thread_terminated session.updated sessions shell shell_call
  shell_call_output signature_delta skill skill_deleted skill_reference skill_version skill_version_deleted static
  string succeeded summarize summary_text system_changed tab_opened text text_delta text_editor_20241022
  text_editor_20250124 text_editor_20250429 text_editor_20250728 text_editor_code_execution_create_result
  text_editor_code_execution_str_replace_result text_editor_code_execution_tool_result
  text_editor_code_execution_tool_result_error text_editor_code_execution_view_result thinking thinking_delta
  thinking_dropped thinking_mismatch_allowed thinking_turns timeout timeout_error tokens tool tool_addition
  tool_definition tool_reference tool_removal tool_result tool_search tool_search_call tool_search_output
  tool_search_tool_bm25 tool_search_tool_bm25_20251119 tool_search_tool_regex tool_search_tool_regex_20251119
  tool_search_tool_result tool_search_tool_result_error tool_search_tool_search_result tool_use tool_uses
  tools_changed transcript.text.delta transcript.text.done transcript.text.segment tunnel tunnel_token type
  unavailable unrestricted update_existing update_file url url_citation user_profile
  user_profile.enforcement_action_opened user_profile.enforcement_action_resolved user_profile.program_status_updated
  user_profile_action_url user_profile_deleted vault.archived vault.created vault.deleted vault_credential.archived
  vault_credential.created vault_credential.deleted vault_credential.refresh_failed wait web_fetch_20250910
  web_fetch_20260209 web_fetch_20260309 web_fetch_20260318 web_fetch_result web_fetch_tool_result
  web_fetch_tool_result_error web_search web_search_20250305 web_search_2025_08_26 web_search_20260209
  web_search_20260318 web_search_call web_search_preview web_search_preview_2025_03_11 web_search_result
  web_search_result_location web_search_tool_result web_search_tool_result_error
unsupported: cache_control context_management fallbacks hipaa inference_hooks thinking
verbosity: high low medium
violence: image text
violence/graphic: image text
voice: alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse
"""
_MORE_FIELDS = """
accepted_prediction_tokens access_programs acknowledged_safety_checks actions active adaptive additionalItems
additionalProperties after after_id allOf allow_fallbacks allow_mcp_servers allow_package_managers allowed_domains
allowed_fallback_models allowed_hosts allowed_tools always annotation annotation_index annotations answers anyOf
appeal_url applied_edits approval_request_id approve approximate apt archived_at arguments assistant_id async
attachments attributes audio audio_sample audio_tokens authorization authorization_token avg_logprob b64_json
background_options bad_words batch before before_id best_of between_tools billing billing_policy block_binding
blocked_domains budget_tokens bytes cache_control cache_creation cache_creation_input_tokens cache_miss_reason
cache_missed_input_tokens cache_missed_tokens cache_read_input_tokens cache_write_tokens cache_write_tokens_details
cached_image_tokens cached_text_tokens cached_tokens cached_tokens_details caching call_id caller caller_id
cancel_initiated_at canceled cancelled cancelled_at cancelling_at capabilities cargo categories category_scores
chat_template chat_template_kwargs choice choices citation citations cited_text city clear_at_least
clear_thinking_20251015 clear_tool_inputs clear_tool_uses_20250919 cleared_input_tokens cleared_thinking_turns
cleared_tool_uses client_tool_results close_tab code_execution command_index commands comment compact_20260112
compact_threshold compaction comparison_response_id comparison_reusable_tokens completed completed_at completion_time
completion_tokens completion_tokens_details compression_ratio confidence configs consent const container container_id
contains content contentEncoding contentMediaType content_block content_filter_offsets content_filter_results
content_index content_parts context_management continuation_id conversation conversation_id coordinate cost
cost_details country created created_at created_by current_state cursor_position custom custom_blocklists custom_id
data data_collection data_retention date days debug default default_config defer_loading definition definitions defs
deleted delta dependencies dependentRequired dependentSchemas deprecated deprecated_at depth description
detailed_explanation detected diagnostics diff dimensions disable_parallel_tool_use disabled discriminator
display_height display_height_px display_name display_number display_width display_width_px document_ids
document_index document_title documents domain domain_secrets done double_click download_id downloadable duration
eager_input_streaming echo edits efs else email_hash embedding embedding_weight enable_zoom enabled encrypted_content
encrypted_index encrypted_stdout end end_block_index end_char_index end_index end_page_number ended_at
enforcement_action_id enforcement_actions enum env ephemeral_1h_input_tokens ephemeral_5m_input_tokens error
error_file_id error_message errored errors estimated_tokens examples exclude_tools exclusiveMaximum exclusiveMinimum
exit_code expired expired_at expires_after expires_at expires_in_seconds explanation external_id external_user_details
external_user_onboarded_at external_web_access extra_content failed failed_at failed_checks fallback_credit
fallback_credit_token fallback_has_prefill_claim features file file_counts file_data file_id file_ids file_text
file_upload file_url filename files filtered filters finalizing_at find fingerprint first_id flagged form_input
frame_count frame_duration_ms frequency_penalty from function functions gem generate get_page_text go google grammar
guided_choice guided_grammar guided_json guided_regex has_more headers high hint hold_key hover human_review
hybrid_search id ids if ignore_eos image image_file image_gen image_input image_tokens image_url images in_progress
in_progress_at include_obfuscation include_usage incomplete_at incomplete_details index indirect_attack inference_geo
input input_audio input_examples input_file_id input_image_mask input_schema input_token_details input_tokens
input_tokens_details input_transformations inputs insert_line insert_text instructions is_byok is_error is_file_update
item item_id items iterations jailbreak javascript_exec json_schema keep_alive key keys keywords known_speaker_names
known_speaker_references kv_transfer_params label language languages last_active_at last_error last_id last_updated
latest_version_id left_click left_click_drag left_mouse_down left_mouse_up levels license limit lines list_tabs
logit_bias logprob logprobs logs low markup mask matched_stop max maxItems maxLength maxProperties max_characters
max_completion_tokens max_content_tokens max_input_tokens max_num_results max_output_length max_output_tokens
max_price max_side_length_pixels max_tokens max_tool_calls max_uses maximum mcp_server_name mcp_servers md5 medium
memory_limit memory_store_id message messages metadata middle_click mime_type minItems minLength minProperties min_p
min_tokens minimum mirostat misalignment model models moderation_details modifiers mouse_move multipleOf name_hash
namespace navigate network_policy networking never new_lines new_path new_start new_str new_tab no_speech_prob not npm
nullable num_ctx num_lines num_predict num_requests num_sources_used obfuscation old_lines old_path old_start old_str
onboarded_at oneOf only opened_at operation options organization_id original_input_tokens outcome output
output_behavior output_compression output_config output_expires_after output_file_id output_index output_schema
output_tokens output_tokens_details outputs packages page page_age parallel_tool_calls param parameters params parent
parsed parsed_arguments parsed_output part part_ids partial_image_b64 partial_image_index partial_images partial_json
path paths pattern patternProperties pause_after_compaction pdf_input pending_safety_checks permission pip plugin_id
plugin_version_id plugins policy prediction prefixItems prefix_padding_ms presence_penalty preset previous_message_id
previous_response_id prewarm probabilities probability processing profanity programs prompt prompt_cache_breakpoint
prompt_cache_diagnostics prompt_cache_key prompt_cache_options prompt_filter_results prompt_logprobs prompt_time
prompt_tokens prompt_tokens_details properties propertyName propertyNames protected_material_code
protected_material_text provider quantizations queries query questions queue_time random_seed ranking_options readOnly
read_console read_network read_only read_page reasoning reasoning_content reasoning_details reasoning_tokens
recommended_model recording ref reference_id refusal region rejected_prediction_tokens remaining remove_to_redeem
repeat repetition_penalty request_counts request_id requests required required_input requirements response result
results results_url retires_at retrieved_at return_code review_target revised_prompt rewrite_query right_click root
route run_id safe_prompt safety_identifier schema scope score score_threshold screenshot script_hint scroll
scroll_amount scroll_to scroll_x scroll_y search_result_index search_results seconds seed seek segment_id segments
sequence_number server_description server_label server_name server_tool_results server_tool_use server_tools
server_url session_id session_ids session_thread_id shutdown_date signature silence_duration_ms size_bytes skill_id
skill_name skills skip_special_tokens slack_channel_id snippet sort source sources speaker start start_block_index
start_char_index start_coordinate start_index start_line start_page_number starting_after state_changes static
status_details stderr stdout steer stop stop_details stop_sequence stop_sequences store stream stream_id
stream_options strict structured_outputs succeeded suffix summarize summary_index supported svg svg_usage switch_tab
system system_fingerprint tab_id tabs target task_budget temperature text text_offset text_tokens text_weight then
thinking thinking_tokens thought_signature thread thread_id threshold tiers timeout_ms timezone timings title to token
token_ids token_logprobs tokens tool tool_call_id tool_calls tool_changes tool_configuration tool_id tool_name
tool_names tool_references tool_usage tool_use_id tools top_k top_logprobs top_p total total_cost total_lines
total_time total_tokens trace_id transcript transformations transforms trigger triple_click trust_grants ttl
ttl_12h_tokens ttl_30m_tokens tunnel_id tunnel_token types typical_p unevaluatedProperties uniqueItems updated_at
upload_id url url_citation url_sources usage usage_breakdown usage_bytes use_cache user user_id user_input
user_location user_profile_id value variables vault_id vector_store_id vector_store_ids version view_range wait
warnings web_fetch_requests web_search web_search_options web_search_requests word words working_directory
workspace_id writeOnly x_groq xhigh zdr zoom
"""
# Small words that occur in sentences but not in lists of names.
_SMALL = """
the you your yours me my mine we our us they them their he she his her it its this that these those what how who
why when where which will would can could should must shall is are was were be been am do does did has have had a
an and or but not if then than of to with without for from into about at on in by as all any every no now please
tell give make get let just so very
"""
# Small words with which names of functions and fields begin or end.
_OF_NAMES = """
is as at on by in has have do did does get make to with without from not of all any can and or if for into about no now
tell let just every when where which who what then that be
"""


def _parsed(rows: str) -> dict[str, frozenset[str]]:
    found: dict[str, list[str]] = {}
    field = ""
    for word in rows.split():
        if word.endswith(":"):
            field = word[:-1]
            found[field] = []
        else:
            found[field].append(word)
    return {name: frozenset(values) for name, values in found.items()}


FUNCTION_WORDS: frozenset[str] = frozenset(_SMALL.split())
WORDS_OF_NAMES: frozenset[str] = frozenset(_OF_NAMES.split())
# A small word may be a part of a sentence wherever it stands.
VALUES: Mapping[str, frozenset[str]] = {field: values - FUNCTION_WORDS for field, values in _parsed(_VALUES).items()}
FIELDS: frozenset[str] = (frozenset(VALUES) | frozenset(_MORE_FIELDS.split())) - FUNCTION_WORDS
