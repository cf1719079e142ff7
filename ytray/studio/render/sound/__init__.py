"""The sound of a timeline: narration, music and clips, mixed and mastered; and finding a voice in it again."""
