"""The composition root: settings -> adapters -> activities -> Worker."""
