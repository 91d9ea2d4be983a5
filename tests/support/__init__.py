"""What tests share: fakes, servers and builders. No test stands here."""
