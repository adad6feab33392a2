"""The Django project: composes inference, guardrails and knowledge into a portal."""
