"""What a group needs: the actions that bring it from what there is to what it is to be, in steps."""
