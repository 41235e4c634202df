"""What holds for every request: who asks, bodies and their time, headers, errors."""
