"""English sentences: a lexicon, a small grammar, and the twenty pairs of Lovering et al. 2021."""
