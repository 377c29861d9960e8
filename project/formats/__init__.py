"""How pages write days and times; Django looks here for formats by language."""
