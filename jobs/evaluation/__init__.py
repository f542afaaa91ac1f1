"""How models are judged: protocols, figures, and where they are kept."""
