"""What happens to a microphone's audio before the session hears it: noise is suppressed, echo cancelled."""
