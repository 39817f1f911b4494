"""The parts of the validate step: each looks at one system and says what it found, changing nothing."""
