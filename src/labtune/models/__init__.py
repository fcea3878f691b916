"""Language models: load them in process, render chats, generate, score likelihoods."""
