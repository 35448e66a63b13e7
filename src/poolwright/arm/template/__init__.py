"""The ARM template language: lenient text, expressions, functions, and expansion to resources.

Pure: from a template and its parameters to resources with dependencies and outputs. It refuses to
send anything; what a template needs from the world comes in as `Surroundings`.

Source: learn.microsoft.com/azure/azure-resource-manager/templates (syntax and function pages).
"""
