"""What `autofit demo` trains on: 1,797 real handwritten digits that ship with the package (see CREDIT.md)."""
