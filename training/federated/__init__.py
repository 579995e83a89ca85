"""Federated training: sites learn one network together over nvflare, and no image, label or name of a case leaves a site."""
