"""Qwen3-Omni and Qwen2.5-Omni in the process, streamed."""
