"""Receipts as PDF: what is inside, what they look like, drawing one."""
