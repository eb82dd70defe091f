_base_ = ['./resnet50_cmltnet_lt.py']

# needs open_clip; its text encoder is read once, when training starts
model = dict(
    head=dict(
        word_vectors=dict(
            source='open_clip',
            width=512,
            clip=dict(name='ViT-B-16-quickgelu', pretrained='openai'),
            prompt='a photo of food with {}.',
        )
    )
)
